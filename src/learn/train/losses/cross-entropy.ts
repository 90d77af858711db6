/** Losses on class scores: cross-entropy and binary cross-entropy. */
import { distributionOf, infer, isInUnitRange } from "#analysis";
import { counted, type Dense, dataError, dimsText, float32, optionError, shapeError, type Value } from "#ir";
import {
  asRows,
  ignoredLabel,
  type Loss,
  type LossOptions,
  type LossScope,
  outputOf,
  requireColumn,
  scaledSum,
} from "../loss.ts";
import { createTargetLoss, readElements } from "./numbers.ts";

export interface CrossEntropyOptions extends LossOptions {
  /** Whether the output is logits, probabilities or their logarithms (default: detected from the graph). */
  readonly from?: OutputForm | undefined;
  /** Label smoothing (Szegedy et al. 2016): the share of a target that is spread evenly over all classes (0). */
  readonly smoothing?: number | undefined;
}

/**
 * Cross-entropy: the mean over labeled rows of -Σ target · log softmax(output). Labels become one-hot targets. If the model ends in a
 * softmax, the logarithm of its probabilities replaces the log softmax.
 * @throws PithError E_OPTION for a smoothing outside [0, 1), E_DATA if a label is outside the classes, or the batch has no labels.
 * @example
 * await train(net, { data, epochs: 10, loss: crossEntropy({ smoothing: 0.1 }) });
 */
export function crossEntropy(options: CrossEntropyOptions = {}): Loss {
  const { from, label = "label", smoothing = 0, output } = options;
  if (!(smoothing >= 0 && smoothing < 1))
    throw optionError(`The smoothing must be at least 0 and below 1, got ${smoothing}.`);
  return {
    name: "cross-entropy",
    build(scope) {
      const { emit, model } = scope;
      const { rows, count, classes } = scoreRows(scope, outputOf(scope, output), from);
      requireClasses(classes);
      const dims = [count, classes];
      const target = model.graph.addInput(model.graph.freshName("target"), { type: "float32", dims });
      const factor = model.graph.addInput(model.graph.freshName("rows"), { type: "float32", dims: [] });
      const logs = emit.LogSoftmax([rows], { axis: -1 });
      const total = emit.ReduceSum([emit.Mul([target, logs])], { keepdims: 0 });
      return {
        value: emit.Mul([total, factor]),
        feeds: (batch) => {
          const targets = distributions(requireColumn(batch, label), count, classes, label, smoothing);
          const share = float32([], [-1 / Math.max(1, targets.labeledRows)]);
          return { [target.name]: targets.rows, [factor.name]: share };
        },
      };
    },
  };
}

/** @throws PithError E_SHAPE_MISMATCH for a single class: its probability is always 1. */
export function requireClasses(classes: number | undefined): void {
  if (classes !== 1) return;
  throw shapeError("The output is one number per row, not a distribution over classes.", {
    hint: 'For numbers as labels: `loss: "mse"`; for labels 0 and 1: `loss: "binary"`; with a teacher alone: `loss: "output-mse"`.',
  });
}

interface Distributions {
  readonly rows: Dense;
  readonly labeledRows: number;
}

function distributions(labels: Dense, rows: number, classes: number, name: string, smoothing: number): Distributions {
  const [labelShare, otherShare] = [1 - smoothing, smoothing / classes];
  if (labels.type === "float32" && labels.data.length === rows * classes) {
    requireDistributions(labels.data, classes, name);
    const data = smoothing === 0 ? labels.data : labels.data.map((share) => labelShare * share + otherShare);
    return { rows: float32([rows, classes], data), labeledRows: rows };
  }
  if (labels.type === "string" || labels.data.length !== rows) {
    throw dataError(
      `"${name}" is ${labels.type}${dimsText(labels.dims)}, expected ${counted(rows, "class")} or ${rows} × ${classes} numbers.`,
    );
  }
  const data = new Float32Array(rows * classes);
  let labeledRows = 0;
  for (let row = 0; row < rows; row++) {
    const index = Number(labels.data[row]);
    if (index === ignoredLabel) continue;
    if (!Number.isInteger(index) || index < 0 || index >= classes) {
      throw dataError(`"${name}" contains ${index}: expected a class from 0 to ${classes - 1}.`);
    }
    if (otherShare > 0) data.fill(otherShare, row * classes, (row + 1) * classes);
    data[row * classes + index] = labelShare + otherShare;
    labeledRows++;
  }
  return { rows: float32([rows, classes], data), labeledRows };
}

function requireDistributions(data: Float32Array, classes: number, name: string): void {
  for (let from = 0; from < data.length; from += classes) {
    const row = data.subarray(from, from + classes);
    if (row.every((share) => share >= 0) && row.reduce((sum, share) => sum + share, 0) < 1.01) continue;
    throw dataError(`"${name}" holds [${row.subarray(0, 4).join(", ")}…], expected probabilities.`, {
      hint: 'For numbers: `loss: "mse"`.',
    });
  }
}

/**
 * Binary cross-entropy of logits x against targets t from 0 to 1: mean of max(x, 0) - x·t + log(1 + exp(-|x|)), the stable form
 * of -(t log σ(x) + (1 - t) log(1 - σ(x))). If the model ends in a sigmoid, x is computed from its probabilities.
 */
export function binaryCrossEntropy(options: LossOptions = {}): Loss {
  // The loss equals Softplus(x) - x·t, with Softplus(x) = log(1 + exp(x)), which the runtime computes stably.
  const read = (scope: LossScope, output: Value) => readElements(scope, labelLogits(scope, output));
  return createTargetLoss("binary", options, read, (emit, logits, target, count) => {
    const entries = emit.Sub([emit.Softplus([logits]), emit.Mul([logits, target])]);
    return scaledSum(emit, entries, 1 / count);
  });
}

/** Distance of a probability from 0 and 1 that keeps its logit finite in float32. */
const minShare = 1e-7;

/** Returns the logits of independent labels: log p - log(1 - p) if the model ends in a sigmoid. */
function labelLogits({ emit, model }: Pick<LossScope, "emit" | "model">, output: Value): Value {
  if (!isInUnitRange(output, infer(model))) return output;
  const shares = emit.Max([emit.Min([output, 1 - minShare]), minShare]);
  return emit.Sub([emit.Log([shares]), emit.Log([emit.Sub([1, shares])])]);
}

/** Returns the logits [rows, labels] of independent labels. */
export function labelRows(scope: Pick<LossScope, "emit" | "model">, output: Value): ReturnType<typeof asRows> {
  return asRows(scope.emit, labelLogits(scope, output));
}

// The softmax of logits is the distribution; of log p it is p, since exp(log p) sums to one. Probabilities need a logarithm
// first: their softmax would be nearly uniform.

export type OutputForm = "logits" | "probabilities" | "log-probabilities";

/** Lower bound of output probabilities, which keeps log(0) finite. A larger bound would remove the gradient where the model is most wrong. */
const minProbability = 1e-37;

/** Returns scores [rows, classes] whose softmax is the model's distribution; `form` overrides the detected form. */
export function scoreRows(
  { emit, model }: Pick<LossScope, "emit" | "model">,
  output: Value,
  form: OutputForm = distributionOf(output, infer(model)) === "probabilities" ? "probabilities" : "logits",
): ReturnType<typeof asRows> {
  const { rows, count, classes } = asRows(emit, output);
  const scores = form === "probabilities" ? emit.Log([emit.Max([rows, minProbability])]) : rows;
  return { rows: scores, count, classes };
}
