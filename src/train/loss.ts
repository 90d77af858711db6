/** Losses: a few nodes on top of the model's outputs. */
import { PithError } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { float32, int64 } from "../tensor/dense.ts";
import { dimsText, elementCount, fixedDims } from "../tensor/dims.ts";
import { typeCodes } from "../tensor/type-codes.ts";
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
  /** Writes the loss on top of a model; the same loss may be built on several. */
  build(scope: LossScope): BuiltLoss | Promise<BuiltLoss>;
}

export interface BuiltLoss {
  /** A scalar, averaged over the rows of the batch. */
  readonly value: Value;
  /** What the inputs that `build` added are fed with, from a batch of data. */
  feeds(batch: Batch): Batch;
}

/** The model's first output, which a loss without further instructions is about. */
export function firstOutput(scope: LossScope): Value {
  const [output] = scope.outputs.values();
  if (output === undefined) throw new PithError("E_MODEL", "The model has no output to compute a loss from.");
  return output;
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
  const flat = dims.length === 2 ? logits : emit.Reshape([logits, emit.constant(int64([2], [count, classes]))]);
  // Losses are computed in float32, whatever the model computes in: 1 is TensorProto.FLOAT.
  return {
    rows: logits.type?.type === "float32" ? flat : emit.Cast([flat], { to: typeCodes.float32 }),
    count,
    classes,
  };
}

export interface CrossEntropyOptions {
  /** What the model's output is: unnormalized scores (default), or probabilities after a softmax. */
  readonly from?: "logits" | "probabilities";
  /** The column with classes (integers), or with a distribution over classes per row (soft targets). */
  readonly label?: string;
}

/** Keeps log(0) finite where a model ends in probabilities. */
const smallestProbability = 1e-12;

/**
 * Cross-entropy: the mean over rows of -Σ target · log softmax(output). Labels become one-hot targets, so soft targets are the same graph.
 * @throws PithError E_DATA where a label lies outside the classes, or the batch has none.
 * @example
 * await train(net, { data, epochs: 10, loss: crossEntropy() });
 */
export function crossEntropy({ from = "logits", label = "label" }: CrossEntropyOptions = {}): Loss {
  return {
    name: "cross-entropy",
    build(scope) {
      const { emit, model } = scope;
      const { rows, count, classes } = asRows(emit, firstOutput(scope));
      // A distribution over classes for each row.
      const type = { type: "float32", dims: [count, classes] } as const;
      const target = model.graph.addInput(model.graph.freshName("target"), type);
      const logs =
        from === "logits"
          ? emit.LogSoftmax([rows], { axis: -1 })
          : emit.Log([emit.Max([rows, emit.constant(float32([], [smallestProbability]))])]);
      return {
        value: meanOverRows(emit, emit.Mul([target, logs]), count),
        feeds: (batch) => ({ [target.name]: targets(batch[label], count, classes, label) }),
      };
    },
  };
}

/** -Σ / rows of what was summed over classes: the loss of one row is the negative sum of its entries. */
export function meanOverRows(emit: Emit, entries: Value, rows: number): Value {
  const total = emit.ReduceSum([entries], { keepdims: 0 });
  return emit.Mul([total, emit.constant(float32([], [-1 / rows]))]);
}

/** Labels as a distribution over classes; a distribution as it is. */
function targets(labels: Dense | undefined, rows: number, classes: number, name: string): Dense {
  if (labels === undefined)
    throw new PithError("E_DATA", `The data has no "${name}".`, { hint: "Training needs labels." });
  if (labels.type === "float32" && labels.data.length === rows * classes) return { ...labels, dims: [rows, classes] };
  if (labels.type === "string" || labels.data.length !== rows) {
    throw new PithError(
      "E_DATA",
      `"${name}" is ${labels.type}${dimsText(labels.dims)}, expected ${rows} classes or ${rows} × ${classes} numbers.`,
    );
  }
  const data = new Float32Array(rows * classes);
  for (let row = 0; row < rows; row++) {
    const index = Number(labels.data[row]);
    if (!Number.isInteger(index) || index < 0 || index >= classes) {
      throw new PithError("E_DATA", `"${name}" holds ${index}, the model has classes 0 to ${classes - 1}.`);
    }
    data[row * classes + index] = 1;
  }
  return float32([rows, classes], data);
}
