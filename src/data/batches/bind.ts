/**
 * Binds columns of a dataset to model inputs by name, before every run. If the model has one input and the data one column besides the label, names
 * need not match. Types are converted: integers change width, floats are rounded. Dimensions are adapted if the number of elements is equal: [N, 784]
 * fits an input of [1, 784, 1].
 */
import { PithError, truncateList } from "../../core/errors.ts";
import type { ValueType } from "../../core/graph/graph.ts";
import { fromNumbers, isFloat, toFloat64 } from "../../core/tensor/convert.ts";
import { type Dim, dimsText, elementCount, fixedDims } from "../../core/tensor/dims.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { rowLength } from "./rows.ts";
import { beginColumn } from "./states.ts";

export interface ModelInput {
  readonly name: string;
  readonly type: ValueType | undefined;
}

export function copyInput({ name, type }: ModelInput): ModelInput {
  return { name, type };
}

export interface Binding {
  /** The number of samples per run if the model has a fixed batch size; undefined for any batch size. */
  readonly size: number | undefined;
  /** Returns the model's inputs for a batch. If `size` is defined, the batch must have this number of samples. */
  feeds(batch: Batch): Batch;
}

/**
 * Binds batches to inputs. All batches must have the columns and dimensions of `batch`. @param owner The name of the dataset in errors.
 * @throws PithError E_DATA if an input has no column, or if its column does not fit.
 */
export function bindInputs(inputs: readonly ModelInput[], batch: Batch, owner: string): Binding {
  const bindings = inputs.map((input) => bindInput(input, inputs.length, batch, owner));
  const sizes = new Map(
    bindings.flatMap(({ size, input }) => (size === undefined ? [] : [[size, input.name] as const])),
  );
  if (sizes.size > 1) {
    const inputList = [...sizes].map(([size, name]) => `"${name}" takes ${size}`).join(", ");
    throw new PithError("E_DATA", `${owner}: the inputs have different fixed batch sizes: ${inputList}.`);
  }
  const [size] = sizes.keys();
  return {
    size,
    feeds: (fed) =>
      Object.fromEntries(
        bindings.map(({ input, column, shape }) => {
          const dense = fed[column];
          if (dense === undefined) throw new PithError("E_DATA", `${owner}: a batch has no "${column}".`);
          return [input.name, convert({ ...dense, dims: shape(dense) } as Dense, input, column, owner)];
        }),
      ),
  };
}

interface InputBinding {
  readonly input: ModelInput;
  readonly column: string;
  readonly size: number | undefined;
  readonly shape: (dense: Dense) => readonly number[];
}

function bindInput(input: ModelInput, inputs: number, batch: Batch, owner: string): InputBinding {
  const columns = Object.keys(batch).filter((name) => name !== "label" && name !== beginColumn);
  const onlyColumn = inputs === 1 && columns.length === 1 ? columns[0] : undefined;
  const column = batch[input.name] === undefined ? onlyColumn : input.name;
  const dense = column === undefined ? undefined : batch[column];
  if (column === undefined || dense === undefined) {
    throw new PithError(
      "E_DATA",
      `${owner} has no column "${input.name}" for the model's input, only ${truncateList(Object.keys(batch))}.`,
      { hint: takesHint(input) },
    );
  }
  const declared = input.type?.dims;
  const binding = { input, column };
  if (declared === undefined) return { ...binding, size: undefined, shape: ({ dims }) => dims };
  const sampleDims = dense.dims.slice(1);
  const [first, ...rest] = declared;
  const size = typeof first === "number" ? first : undefined;
  if (first !== undefined && fitsDims(rest, sampleDims)) return { ...binding, size, shape: ({ dims }) => dims };
  const elements = rowLength(dense);
  const fixedSampleDims = fixedDims(rest);
  if (first !== undefined && fixedSampleDims !== undefined && elementCount(fixedSampleDims) === elements) {
    return { ...binding, size, shape: ({ dims }) => [dims[0] ?? 0, ...fixedSampleDims] };
  }
  // A model for one sample has no batch axis.
  if (fitsDims(declared, sampleDims)) return { ...binding, size: 1, shape: ({ dims }) => dims.slice(1) };
  const dimsWithoutBatch = fixedDims(declared);
  if (dimsWithoutBatch !== undefined && elementCount(dimsWithoutBatch) === elements)
    return { ...binding, size: 1, shape: () => dimsWithoutBatch };
  throw new PithError(
    "E_DATA",
    `${owner}: "${column}" is ${dimsText(dense.dims)}, input "${input.name}" takes ${dimsText(declared)}.`,
    dense.type === "string" ? textHint(input) : {},
  );
}

function takesHint({ name, type }: ModelInput): string {
  const dims = type?.dims;
  const form = `${type?.type ?? "numbers"}${dims === undefined ? "" : dimsText(dims)}`;
  if (dims?.length === 4 && type !== undefined && (isFloat(type.type) || type.type === "uint8"))
    return `The input takes images or other planes (${form}): a folder of images, .npy or .npz. A table needs one numeric column per value.`;
  if (dims?.length === 2 && (type?.type === "int64" || type?.type === "int32"))
    return `The input takes whole numbers (${form}), such as tokens of texts: a .txt, or a table with a column "text".`;
  return `The input takes ${form}: .npy, .npz with an array "${name}", or a table with one numeric column per value.`;
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
    throw new PithError(
      "E_DATA",
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
    throw new PithError(
      "E_DATA",
      `${owner}: "${column}" is ${dense.type}, input "${input.name}" takes ${type}.`,
      dense.type === "string" ? textHint(input) : {},
    );
  }
  const numbers = toFloat64(dense);
  if (!isFloat(type) && !numbers.every(Number.isInteger)) {
    throw new PithError("E_DATA", `${owner}: "${column}" has non-integer values, input "${input.name}" takes ${type}.`);
  }
  return fromNumbers(type, dense.dims, numbers);
}
