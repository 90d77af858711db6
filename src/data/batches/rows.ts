/** Slices, gathers and joins batches: named tensors whose axis 0 counts samples. */
import type { Batch, Dense } from "#ir";
import {
  bitsOf,
  dataError,
  dimsText,
  elementCount,
  fromNumbers,
  isFloat,
  sameDims,
  stridesOf,
  unwrapBuffer,
} from "#ir";

/** @throws PithError E_DATA if there are no tensors, or if their numbers of samples differ. */
export function sampleCount(batch: Batch, owner: string): number {
  let count: number | undefined;
  let firstName = "";
  for (const [name, dense] of Object.entries(batch)) {
    const [rows] = dense.dims;
    if (rows === undefined) throw dataError(`${owner}: "${name}" is a single number; axis 0 must be the batch axis.`);
    if (count !== undefined && rows !== count) {
      throw dataError(`${owner}: "${name}" has ${rows} samples, "${firstName}" has ${count}.`);
    }
    if (count === undefined) firstName = name;
    count = rows;
  }
  if (count === undefined) throw dataError(`${owner} has no tensors.`);
  return count;
}

/** Counts samples by the first column. Other columns can be states, whose samples are along another axis. */
export function rowCount(batch: Batch): number {
  const [first] = Object.values(batch);
  return first?.dims[0] ?? 0;
}

/** Returns rows from `start` to `end` (exclusive). Except for text, the result shares memory with the tensor. */
export function sliceRows(dense: Dense, start: number, end: number): Dense {
  const width = rowLength(dense);
  const dims = [Math.max(0, Math.min(end, dense.dims[0] ?? 0) - start), ...dense.dims.slice(1)];
  const data =
    dense.type === "string"
      ? dense.data.slice(start * width, end * width)
      : dense.data.subarray(start * width, end * width);
  return { type: dense.type, dims, data } as Dense;
}

/** Returns rows at the given positions. Consecutive rows share memory with the tensor, as in `sliceRows`. */
export function gatherRows(dense: Dense, positions: Uint32Array): Dense {
  const [first] = positions;
  if (first !== undefined && positions.every((position, index) => position === first + index)) {
    return sliceRows(dense, first, first + positions.length);
  }
  const width = rowLength(dense);
  const dims = [positions.length, ...dense.dims.slice(1)];
  if (dense.type === "string") {
    const data = [...positions].flatMap((position) => dense.data.slice(position * width, (position + 1) * width));
    return { type: "string", dims, data };
  }
  const data = allocateNumbers(dense, positions.length * width);
  positions.forEach((position, index) => {
    copyNumbers(dense, position * width, (position + 1) * width, data, index * width);
  });
  return { type: dense.type, dims, data } as Dense;
}

/** Concatenates tensors along axis 0. @throws PithError E_DATA if types or other dimensions differ, or if a tensor is a scalar. */
export function joinRows(name: string, parts: readonly (Dense | undefined)[], owner: string): Dense {
  const [first] = parts;
  if (first === undefined) throw dataError(`${owner}: "${name}" is missing in the first batch.`);
  if (first.dims.length === 0)
    throw dataError(`${owner}: "${name}" is a single number; axis 0 must be the batch axis.`);
  const width = rowLength(first);
  const equalParts: Dense[] = parts.map((part, index) => {
    if (
      part !== undefined &&
      part.dims.length > 0 &&
      part.type === first.type &&
      sameDims(part.dims.slice(1), first.dims.slice(1))
    )
      return part;
    const got = part === undefined ? "nothing" : `${part.type}${dimsText(part.dims)}`;
    const expected = `${first.type}${dimsText(first.dims)}`;
    throw dataError(`${owner}: "${name}" is ${expected} in the first batch and ${got} in batch ${index + 1}.`);
  });
  const rows = equalParts.reduce((sum, part) => sum + (part.dims[0] ?? 0), 0);
  const dims = [rows, ...first.dims.slice(1)];
  if (first.type === "string") {
    return { type: "string", dims, data: equalParts.flatMap((part) => (part.type === "string" ? [...part.data] : [])) };
  }
  const data = allocateNumbers(first, rows * width);
  let start = 0;
  for (const part of equalParts) {
    copyNumbers(part, 0, part.data.length, data, start);
    start += part.data.length;
  }
  return { type: first.type, dims, data } as Dense;
}

/** Pads tensors to equal sizes on all axes but the first: floats with NaN, integers with 0. Text and tensors of another rank stay unchanged. */
export function padRows(parts: readonly (Dense | undefined)[]): readonly (Dense | undefined)[] {
  const [first] = parts;
  const maxDims = (first?.dims ?? []).map((_, axis) => Math.max(...parts.map((part) => part?.dims[axis] ?? 0)));
  return parts.map((part) => {
    const dims = [part?.dims[0] ?? 0, ...maxDims.slice(1)];
    if (part === undefined || part.type === "string" || part.dims.length !== maxDims.length) return part;
    return sameDims(part.dims, dims) || elementCount(part.dims) !== part.data.length ? part : padTensor(part, dims);
  });
}

function padTensor(dense: Exclude<Dense, Dense<"string">>, dims: readonly number[]): Dense {
  const data = allocateNumbers(dense, elementCount(dims));
  if (isFloat(dense.type)) {
    const filler = fromNumbers(dense.type, dims, new Float64Array(data.length).fill(Number.NaN));
    copyNumbers(filler, 0, data.length, data, 0);
  }
  const [sourceStrides, targetStrides] = [stridesOf(dense.dims), stridesOf(dims)];
  const rowSize = dense.dims.at(-1) ?? 1;
  for (let start = 0; start < dense.data.length; start += rowSize) {
    const target = targetStrides.reduce(
      (sum, step, axis) => sum + (Math.floor(start / (sourceStrides[axis] ?? 1)) % (dense.dims[axis] ?? 1)) * step,
      0,
    );
    copyNumbers(dense, start, start + rowSize, data, target);
  }
  return { type: dense.type, dims, data } as Dense;
}

export function sliceBatch(batch: Batch, start: number, end: number): Batch {
  return mapColumns(batch, (dense) => sliceRows(dense, start, end));
}

/** @param change is applied to the parts of each column first. @throws PithError as `joinRows` does. */
export function joinBatches(
  parts: readonly Batch[],
  owner: string,
  change: (parts: readonly (Dense | undefined)[]) => readonly (Dense | undefined)[] = (same) => same,
): Batch {
  const names = Object.keys(parts[0] ?? {});
  const columns = names.map((name) => [name, joinRows(name, change(parts.map((part) => part[name])), owner)] as const);
  return Object.fromEntries(columns);
}

export const selectColumns = (batch: Batch, names: readonly string[]): Batch =>
  Object.fromEntries(names.flatMap((name) => (batch[name] === undefined ? [] : [[name, batch[name]]])));

export function mapColumns(batch: Batch, change: (dense: Dense, name: string) => Dense): Batch {
  return Object.fromEntries(Object.entries(batch).map(([name, dense]) => [name, change(dense, name)]));
}

/** Returns the number of array elements per row. @throws PithError E_DATA for types below 8 bits. */
export function rowLength({ type, dims }: Pick<Dense, "type" | "dims">): number {
  if (type !== "string" && bitsOf[type] < 8)
    throw dataError(`A data set cannot hold ${type}: its elements are packed.`);
  const elements = elementCount(dims.slice(1));
  return type === "complex64" || type === "complex128" ? 2 * elements : elements;
}

type Numeric = Exclude<Dense, Dense<"string">>["data"];

function allocateNumbers(sameType: Exclude<Dense, Dense<"string">>, length: number): Numeric {
  const ArrayType = sameType.data.constructor as new (length: number) => Numeric;
  return new ArrayType(length);
}

function copyNumbers(source: Dense, start: number, end: number, target: Numeric, offset: number): void {
  if (source.type === "string") return;
  // Both arrays have the same class, but TypeScript knows only the union.
  (target as Uint8Array).set(source.data.subarray(start, end) as Uint8Array, offset);
}

/** Returns a batch and its array buffers for a transfer to another thread. Views of larger buffers are copied first. */
export function transferable(batch: Batch): { readonly batch: Batch; readonly memory: readonly ArrayBuffer[] } {
  const memory = new Set<ArrayBuffer>();
  const columns = mapColumns(batch, (dense) => {
    if (dense.type === "string") return dense;
    const isView = dense.data.byteLength < dense.data.buffer.byteLength;
    const data = isView ? dense.data.slice() : dense.data;
    if (data.buffer instanceof ArrayBuffer) memory.add(data.buffer);
    return { ...dense, data } as Dense;
  });
  return { batch: columns, memory: [...memory] };
}

export function bytesOfBatch(batch: Batch): number {
  return Object.values(batch).reduce((sum, { type, data }) => sum + (type === "string" ? 0 : data.byteLength), 0);
}

/** A user's dataset can reuse its arrays for the next batch. */
export function copyArrays(batch: Batch): Batch {
  return mapColumns(batch, (dense) => ({ ...dense, data: dense.data.slice() }) as Dense);
}

/** Returns columns with Uint8Arrays instead of Node Buffers, which users can pass. */
export function plainArrays(batch: Batch): Batch {
  return mapColumns(batch, (dense) =>
    dense.data instanceof Uint8Array ? ({ ...dense, data: unwrapBuffer(dense.data) } as Dense) : dense,
  );
}

export const attentionMask = /attention_?mask/i;

/** Returns the mask that is 1 for tokens and 0 for padding; undefined without such a column. */
export function attentionMaskOf(batch: Batch): Dense | undefined {
  const name = Object.keys(batch).find((column) => attentionMask.test(column));
  return name === undefined ? undefined : batch[name];
}
