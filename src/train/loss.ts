/** Losses: a few nodes on top of the model's outputs. What each is stands in `losses/`; here is what they share. */
import { infer } from "../analysis/infer.ts";
import { statesText } from "../data/states.ts";
import { PithError } from "../errors.ts";
import { feedingOf } from "../evaluate/feeding.ts";
import { type Emit, emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type Context, fixInputs } from "../passes/index.ts";
import { float32 } from "../tensor/dense.ts";
import { dimsText, elementCount, fixedDims } from "../tensor/dims.ts";
import type { Batch, Dense } from "../tensor/types.ts";

/** What a loss is built with. */
export interface LossScope {
  readonly emit: Emit;
  /** The model that is being trained, its batch size fixed. A loss may add inputs to its graph. */
  readonly model: Model;
  readonly outputs: ReadonlyMap<string, Value>;
  /** Resolves a reference to another model: a teacher. */
  open(reference: string): Promise<Model>;
}

export interface Loss {
  readonly name: string;
  /** What it was made of, by the names of options, as plain data: a training is continued with the same. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Writes the loss on top of a model; the same loss may be built on several. */
  build(scope: LossScope): BuiltLoss | Promise<BuiltLoss>;
}

export interface BuiltLoss {
  /** A scalar, averaged over the rows of the batch. */
  readonly value: Value;
  /** What the inputs that `build` added are fed with, from a batch of data. */
  feeds(batch: Batch): Batch;
}

/** What a loss is about. */
export interface LossOptions {
  /** The output of the model; the first one unless told. */
  readonly output?: string | undefined;
  /** What it should be: a column of the data, or another output of the model. */
  readonly label?: string | undefined;
}

export function outputOf(scope: Pick<LossScope, "outputs">, name?: string): Value {
  const [first] = scope.outputs.values();
  const output = name === undefined ? first : scope.outputs.get(name);
  if (output !== undefined) return output;
  if (name === undefined) throw new PithError("E_MODEL", "The model has no output to compute a loss from.");
  const names = [...scope.outputs.keys()].map((each) => `"${each}"`).join(", ");
  throw new PithError("E_NAME", `The loss reads the output "${name}"; the model has ${names}.`);
}

interface Target {
  readonly value: Value;
  feeds(batch: Batch): Batch;
}

/**
 * As many numbers as a value has: another output of the model, or a column of the data in the same dimensions, whatever its own.
 * @throws PithError E_DATA when it is fed a column of another size.
 */
export function targetLike(scope: LossScope, value: Value, label: string): Target {
  const dims = fixedDims(value.type?.dims);
  if (dims === undefined)
    throw new PithError("E_SHAPE_MISMATCH", `"${value.name}" has no fixed shape: ${dimsText(value.type?.dims)}.`);
  const other = scope.outputs.get(label);
  if (other !== undefined) return { value: inFloat32(scope.emit, other), feeds: () => ({}) };
  const input = scope.model.graph.addInput(scope.model.graph.freshName("target"), { type: "float32", dims });
  return { value: input, feeds: (batch) => ({ [input.name]: column(batch, label, dims) }) };
}

function column(batch: Batch, label: string, dims: readonly number[]): Dense {
  const found = requireColumn(batch, label);
  if (found.type === "string" || found.data.length !== elementCount(dims)) {
    const got = `${found.type}${dimsText(found.dims)}`;
    const areClasses = /^u?int/.test(found.type) && found.data.length === dims[0];
    throw new PithError(
      "E_DATA",
      `"${label}" is ${got}, expected the ${elementCount(dims)} numbers of ${dimsText(dims)}.`,
      areClasses ? { hint: "Labels are classes: take cross-entropy, or give one number for each output." } : {},
    );
  }
  return float32(dims, found.type === "float32" ? found.data : Float32Array.from(found.data, Number));
}

export function requireColumn(batch: Batch, label: string): Dense {
  const found = batch[label];
  if (found !== undefined) return found;
  const names = Object.keys(batch).map((each) => `"${each}"`);
  throw new PithError("E_DATA", `The data has no "${label}".`, {
    hint: `Training needs labels; the columns are ${names.join(", ")}.`,
  });
}

/** Losses are computed in float32, whatever the model computes in. */
export function inFloat32(emit: Emit, value: Value): Value {
  // 1 is TensorProto.FLOAT.
  return value.type?.type === "float32" ? value : emit.Cast([value], { to: 1 });
}

/** [rows, classes] of a batch of logits of any rank: the classes are the last axis. */
export function asRows(
  emit: Emit,
  logits: Value,
): { readonly rows: Value; readonly count: number; readonly classes: number } {
  const dims = fixedDims(logits.type?.dims);
  const classes = dims?.at(-1);
  if (dims === undefined || classes === undefined || dims.length < 2) {
    throw new PithError(
      "E_SHAPE_MISMATCH",
      `"${logits.name}" must be [batch, …, classes], got ${dimsText(logits.type?.dims)}.`,
    );
  }
  const count = elementCount(dims.slice(0, -1));
  const flat =
    dims.length === 2
      ? logits
      : emit.Reshape([
          logits,
          emit.constant({ type: "int64", dims: [2], data: BigInt64Array.of(BigInt(count), BigInt(classes)) }),
        ]);
  return { rows: inFloat32(emit, flat), count, classes };
}

export const scalar = (emit: Emit, value: number): Value => emit.constant(float32([], [value]));

/** factor · Σ of all entries. */
export function scaledSum(emit: Emit, entries: Value, factor: number): Value {
  return emit.Mul([emit.ReduceSum([entries], { keepdims: 0 }), scalar(emit, factor)]);
}

export interface LossGraph {
  readonly value: Value;
  feeds(batch: Batch): Batch;
}

/** What a graph is written for: batches of other sizes need one of their own. */
export function sizesOf(batch: Batch): string {
  return Object.entries(batch)
    .map(([name, { dims }]) => `${name}${dimsText(dims)}`)
    .join();
}

/**
 * Writes a loss onto a model, which becomes one for batches like `example`.
 * @throws PithError E_DATA if the data does not fit the model, E_UNSUPPORTED if it carries states that the data does not give, and what the
 * loss throws.
 */
export async function writeLoss(
  model: Model,
  example: Batch,
  loss: Loss,
  context: Pick<Context, "open">,
): Promise<LossGraph> {
  const binding = feedingOf(model, example, "training data");
  if (binding.states.length > 0) {
    const carried = statesText(binding.states);
    throw new PithError(
      "E_UNSUPPORTED",
      `The model carries states (${carried}), and backpropagation through time is not supported.`,
      {
        hint: "Data with a column for each state trains single steps.",
      },
    );
  }
  const fed = binding.feeds(example);
  fixInputs(model, Object.fromEntries(Object.entries(fed).map(([name, { dims }]) => [name, dims])));
  const inference = infer(model);
  const emit = emitInto(model, { by: "loss", onNode: inference.visit });
  const outputs = new Map(model.graph.outputs.map((output) => [output.name, output]));
  const built = await loss.build({ emit, model, outputs, open: context.open });
  return { value: built.value, feeds: (batch) => ({ ...binding.feeds(batch), ...built.feeds(batch) }) };
}
