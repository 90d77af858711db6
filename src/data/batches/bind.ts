/** Binds columns of a dataset to model inputs by name. Integers change their width, and floats are rounded to the precision of the input. Arrays are not reshaped, except by `fitSample`. */
import type { Batch, Dense, Dim, PithError, ValueType } from "#ir";
import {
  dataError,
  dimsText,
  elementCount,
  fixedDims,
  fromNumbers,
  isFloat,
  sameDims,
  toFloat64,
  truncateList,
} from "#ir";
import { beginColumn } from "./states.ts";

export interface ModelInput {
  readonly name: string;
  readonly type: ValueType | undefined;
}

export function copyInput({ name, type }: ModelInput): ModelInput {
  return { name, type };
}

export interface Binding {
  /** Samples per run if the model has a fixed batch size; undefined for any batch size. */
  readonly size: number | undefined;
  /** A sentence for each column whose rows are flattened or unflattened. */
  readonly notes: readonly string[];
  /** Returns the model's inputs for a batch. If `size` is defined, the batch must have this number of samples. */
  feeds(batch: Batch): Batch;
}

/** @param batch has the columns to bind. @param owner the dataset's name in errors. @throws PithError E_DATA without a fitting column. */
export function bindInputs(inputs: readonly ModelInput[], batch: Batch, owner: string): Binding {
  const bindings = inputs.map((input) => bindInput(input, inputs.length, batch, owner));
  const sizes = new Map(
    bindings.flatMap(({ size, input }) => (size === undefined ? [] : [[size, input.name] as const])),
  );
  if (sizes.size > 1) {
    const inputList = [...sizes].map(([size, name]) => `"${name}" takes ${size}`).join(", ");
    throw dataError(`${owner}: the inputs have different fixed batch sizes: ${inputList}.`);
  }
  const [size] = sizes.keys();
  return {
    size,
    notes: bindings.flatMap(({ note }) => note ?? []),
    feeds: (fed) =>
      Object.fromEntries(
        bindings.map(({ input, column, dimsOf }) => {
          const dense = fed[column];
          if (dense === undefined) throw dataError(`${owner}: a batch has no "${column}".`);
          return [input.name, convert({ ...dense, dims: dimsOf(dense) } as Dense, input, column, owner)];
        }),
      ),
  };
}

function bindInput(input: ModelInput, inputs: number, batch: Batch, owner: string) {
  const columns = Object.keys(batch).filter((name) => name !== "label" && name !== beginColumn);
  const onlyColumn = inputs === 1 && columns.length === 1 ? columns[0] : undefined;
  const column = batch[input.name] === undefined ? onlyColumn : input.name;
  const dense = column === undefined ? undefined : batch[column];
  if (column === undefined || dense === undefined) {
    throw dataError(
      `${owner} has no column "${input.name}" for the model's input, only ${truncateList(Object.keys(batch))}.`,
      { hint: expectedHint(input) },
    );
  }
  const declared = input.type?.dims;
  if (declared === undefined)
    return { input, column, size: undefined, note: undefined, dimsOf: ({ dims }: Dense) => dims };
  const [first, ...rest] = declared;
  // A model for one sample has no axis of samples.
  const targets = [...(first === undefined ? [] : [rest]), declared];
  const sample = dense.dims.slice(1);
  const fits = targets.flatMap((target) => ({ target, ...fitSample(target, sample) }));
  const misfit = (dims: readonly number[], hint = shapeHint(input, dims)): PithError =>
    dataError(
      `${owner}: array "${column}" is [${["N", ...dims].join(", ")}], input "${input.name}" takes ${dimsText(declared)}.`,
      dense.type === "string" ? textHint(input) : hint,
    );
  const {
    target,
    dims: inputDims,
    isFlat,
  } = fits.find((fit) => fit.isFlat === false) ?? fits.find((fit) => fit.dims) ?? {};
  if (target === undefined || inputDims === undefined) throw misfit(sample);
  const hasRows = target === rest;
  return {
    input,
    column,
    size: !hasRows ? 1 : typeof first === "number" ? first : undefined,
    note: isFlat ? `${owner}: each sample of "${column}" ${flatText(sample, inputDims)}` : undefined,
    dimsOf({ dims: [count = 0, ...dims] }: Dense) {
      const sampleFit = fitSample(target, dims);
      if (sampleFit === undefined || sampleFit.isFlat !== isFlat) throw misfit(dims, { hint: lengthsHint });
      return hasRows ? [count, ...sampleFit.dims] : sampleFit.dims;
    },
  };
}

/**
 * Returns how a sample fits the dimensions of an input, in the same order of elements: axes of size 1 can differ ([28, 28] fits [1, 28, 28]), and one
 * of both can be a flat row ([784] fits [1, 28, 28]).
 */
export function fitSample(
  declaredDims: readonly Dim[],
  sample: readonly number[],
): { readonly dims: readonly number[]; readonly isFlat: boolean } | undefined {
  if (fitsDims(declaredDims, sample)) return { dims: sample, isFlat: false };
  const dims = fixedDims(declaredDims);
  if (dims === undefined || elementCount(dims) !== elementCount(sample)) return undefined;
  const [from, to] = [dropUnitDims(sample), dropUnitDims(dims)];
  if (sameDims(from, to)) return { dims, isFlat: false };
  return from.length === 1 || to.length === 1 ? { dims, isFlat: true } : undefined;
}

const dropUnitDims = (dims: readonly number[]): readonly number[] => dims.filter((dim) => dim !== 1);

export function flatText(sampleDims: readonly number[], inputDims: readonly number[]): string {
  return `${dimsText(sampleDims)} is read as ${dimsText(inputDims)}, in the same order of elements`;
}

const lengthsHint =
  "Samples of different sizes need an input with named dimensions: pad or resize them to one size, or export the model again.";

function shapeHint({ type }: ModelInput, sample: readonly number[]): { readonly hint?: string } {
  const [, ...declared] = type?.dims ?? [];
  const order = axisOrder(declared, sample);
  if (order !== undefined) {
    const axes = [0, ...order.map((axis) => axis + 1)].join(", ");
    return { hint: `It has the same sizes in another order. Transpose it, in NumPy: array.transpose(${axes}).` };
  }
  if (sample.length > 0 && fitsDims(declared.slice(1), sample))
    return { hint: "If it is a single sample, add the axis of samples, in NumPy: array[None]." };
  if (elementCount(declared) === elementCount(sample))
    return {
      hint: `Arrays are not reshaped. If its elements are in the order of the input, in NumPy: array.reshape(-1, ${declared.join(", ")}).`,
    };
  const isTable = sample.length < 2 && type !== undefined && isFloat(type.type);
  return sample.length === declared.length && !isTable ? { hint: lengthsHint } : {};
}

/** Returns the axes of a sample in the order of the declared dimensions; undefined if their sizes are not the same. */
function axisOrder(declaredDims: readonly Dim[], sample: readonly number[]): readonly number[] | undefined {
  const unusedAxes = [...sample.keys()];
  const take = (index: number): number | undefined => unusedAxes.splice(index, index < 0 ? 0 : 1)[0];
  const fixedAxes = declaredDims.map((dim) =>
    typeof dim === "number" ? take(unusedAxes.findIndex((axis) => sample[axis] === dim)) : -1,
  );
  const order = fixedAxes.map((axis) => (axis === -1 ? take(0) : axis));
  return unusedAxes.length === 0 && order.every((axis) => axis !== undefined) ? order : undefined;
}

function expectedHint({ name, type }: ModelInput): string {
  const dims = type?.dims;
  const shapeText = `${type?.type ?? "numbers"}${dims === undefined ? "" : dimsText(dims)}`;
  if (dims?.length === 4 && type !== undefined && (isFloat(type.type) || type.type === "uint8"))
    return `The input takes images or other planes (${shapeText}): a folder of images, .npy or .npz. A table needs one numeric column per value.`;
  if (dims?.length === 2 && (type?.type === "int64" || type?.type === "int32"))
    return `The input takes whole numbers (${shapeText}), such as tokens of texts: a .txt, or a table with a column "text".`;
  return `The input takes ${shapeText}: .npy, .npz with an array "${name}", or a table with one numeric column per value.`;
}

function textHint({ type }: ModelInput): { readonly hint?: string } {
  if (type?.type === "string") return {};
  const mismatch = `The column contains text, and the input takes numbers (${type?.type ?? "of some type"})`;
  return { hint: `${mismatch}: is this the data for this model? Text requires a model with token inputs.` };
}

export function fitsDims(declared: readonly Dim[], dims: readonly number[]): boolean {
  return (
    declared.length === dims.length && declared.every((dim, axis) => typeof dim !== "number" || dim === dims[axis])
  );
}

function convert(dense: Dense, input: ModelInput, column: string, owner: string): Dense {
  const type = input.type?.type ?? dense.type;
  if (dense.type === type) return dense;
  if (dense.type === "uint8" && isFloat(type)) {
    throw dataError(
      `${owner}: "${column}" holds stored bytes, input "${input.name}" takes ${type}: preprocessing is missing.`,
      {
        hint: "Open the data with openTask(model, { data }) of pith/task, which finds it. Or apply one: preprocess(dataset, input, presets.unit) of pith/data; presets.raw feeds the bytes unchanged.",
      },
    );
  }
  if (
    type === "string" ||
    dense.type === "string" ||
    type === "complex64" ||
    type === "complex128" ||
    type === "float8e8m0"
  ) {
    throw dataError(
      `${owner}: "${column}" is ${dense.type}, input "${input.name}" takes ${type}.`,
      dense.type === "string" ? textHint(input) : {},
    );
  }
  const numbers = toFloat64(dense);
  if (!isFloat(type) && !numbers.every(Number.isInteger)) {
    throw dataError(`${owner}: "${column}" has non-integer values, input "${input.name}" takes ${type}.`);
  }
  return fromNumbers(type, dense.dims, numbers);
}
