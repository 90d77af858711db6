/** Finds the output to evaluate and the scores of a sample in it. */

import { type Batch, type Dense, dataError, dimsText, getOrAdd, isFloat, toFloat64 } from "#ir";

/** Returns the name of the evaluated output. @throws PithError E_DATA if there is none. */
export function mainOutputName(outputs: Batch, requestedName?: string): string {
  const names = Object.keys(outputs);
  const hasFloats = (output: string): boolean => isFloat(outputs[output]?.type ?? "string");
  const name = requestedName ?? (hasFloats("logits") ? "logits" : (names.find(hasFloats) ?? names[0]));
  if (name === undefined) throw dataError("The model has no output that is a tensor.");
  outputNamed(outputs, name);
  return name;
}

export function mainOutput(outputs: Batch, requestedName?: string): Dense {
  return outputNamed(outputs, mainOutputName(outputs, requestedName));
}

export function outputNamed(outputs: Batch, name: string): Dense {
  const output = outputs[name];
  if (output !== undefined) return output;
  throw dataError(`The model has no output "${name}", only ${Object.keys(outputs).join(", ")}.`);
}

/** Class scores, one position per label: [N, C] has one per sample, [N, T, C] has T, [N, C, H, W] has H · W. */
export interface Scores {
  readonly samples: number;
  readonly positions: number;
  readonly classes: number;
  /** Whether the values are class indices, one per position, instead of scores. */
  readonly areIndices?: true;
  /** The score of class c at position p (counted over the batch) is values[at(p) + c · step]. */
  readonly values: Float64Array;
  readonly step: number;
  at(position: number): number;
}

const oneHotHint = "If the labels are one-hot, store the class of each sample, in NumPy: label.argmax(axis=1).";

export const numbersHint = [
  'Numeric labels are measured by mean squared error or rank correlation, images by peak signal-to-noise ratio: `metric: "mean-squared-error"`, rank-correlation or psnr; against an original by r-squared.',
  'To train on them: `loss: "mse"`.',
];

export const numbersAdvice = 'if it scores no classes, `metric: "r-squared"` tells more';

/** Returns whether an output contains predicted classes, as ArgMax returns them, instead of scores. */
export function containsClasses({ type, data }: Dense, labels: number): boolean {
  if (isFloat(type)) return false;
  return (type !== "int8" && type !== "uint8") || data.length === labels;
}

/** Reads an output as class scores. @param texts indices of class names. @throws PithError E_DATA if sizes do not fit. */
export function readScores(dense: Dense, samples: number, labels: number, texts = new Map<string, number>()): Scores {
  const values = dense.type === "string" ? indicesOfNames(dense.data, texts) : toFloat64(dense);
  const classes = labels === 0 ? 0 : values.length / labels;
  const positions = samples === 0 ? 0 : labels / samples;
  if (!Number.isInteger(positions) || !Number.isInteger(classes) || classes < 1) {
    throw dataError(
      `An output of ${dimsText(dense.dims)} gives no scores of classes for ${labels} labels of ${samples} samples.`,
      { hint: numbersHint },
    );
  }
  const [first] = dense.dims;
  if (first !== samples && first !== labels) {
    throw dataError(`An output of ${dimsText(dense.dims)} does not have ${samples} samples along its first axis.`);
  }
  if (classes === 1 && containsClasses(dense, labels))
    return { samples, positions, classes, areIndices: true, values, step: 1, at: (position) => position };
  const last = dense.dims.at(-1);
  // An image with as many columns as classes is ambiguous; class planes are the common layout.
  if (positions > 1 && dense.dims[1] === classes && (last !== classes || dense.dims.length > 3)) {
    const at = (position: number): number =>
      Math.floor(position / positions) * classes * positions + (position % positions);
    return { samples, positions, classes, values, step: positions, at };
  }
  if (positions > 1 && last !== classes) {
    throw dataError(
      `An output of ${dimsText(dense.dims)} has no class axis: it gives ${positions * classes} numbers per sample, and the data ${positions} labels.`,
      { hint: classes === 1 ? [oneHotHint, ...numbersHint] : numbersHint },
    );
  }
  return { samples, positions, classes, values, step: 1, at: (position) => position * classes };
}

/** Returns scores of two classes from one value per position: [1 − p, p] for a probability, [0, x] for a logit. */
export function binaryScores(scores: Scores, form: ScoreForm = "logits"): Scores {
  const values = new Float64Array(2 * scores.values.length);
  for (const [index, value] of scores.values.entries())
    values.set([form === "probabilities" ? 1 - value : 0, value], 2 * index);
  return { ...scores, classes: 2, values, step: 1, at: (position) => 2 * position };
}

function indicesOfNames(names: readonly string[], texts: Map<string, number>): Float64Array {
  return Float64Array.from(names, (name) => getOrAdd(texts, name, () => texts.size));
}

export function requireScores({ areIndices: isNamedClass }: Scores, figure: string): void {
  if (isNamedClass !== true) return;
  throw dataError(`The output names a class for each sample and gives no scores: ${figure} needs them.`, {
    hint: [
      "Accuracy, F1, Matthews' correlation and agreement need the class only.",
      "Or name an output with scores: `output`.",
    ],
  });
}

/** Returns the class with the highest score, the first of equal ones; −1 if a score is NaN. */
export function bestClass(scores: Scores, position: number): number {
  const start = scores.at(position);
  if (scores.areIndices === true) return scores.values[start] ?? -1;
  let best = -1;
  let value = Number.NEGATIVE_INFINITY;
  for (let index = 0; index < scores.classes; index++) {
    const score = scores.values[start + index * scores.step] ?? Number.NaN;
    if (Number.isNaN(score)) return -1;
    if (score > value || best < 0) {
      best = index;
      value = score;
    }
  }
  return best;
}

/** Returns log Σ exp of the scores at a position. */
export function logSumExp(scores: Scores, position: number): number {
  requireScores(scores, "a metric in nats");
  const start = scores.at(position);
  let maxScore = Number.NEGATIVE_INFINITY;
  for (let index = 0; index < scores.classes; index++) {
    const score = scores.values[start + index * scores.step] ?? Number.NaN;
    if (Number.isNaN(score)) return Number.NaN;
    maxScore = Math.max(maxScore, score);
  }
  if (!Number.isFinite(maxScore)) return maxScore;
  let sum = 0;
  for (let index = 0; index < scores.classes; index++) {
    sum += Math.exp((scores.values[start + index * scores.step] ?? 0) - maxScore);
  }
  return maxScore + Math.log(sum);
}

/** Logarithms of probabilities count as logits. */
export type ScoreForm = "logits" | "probabilities";

/** Tolerance of a row's sum, for float16 rounding. */
const sumTolerance = 1e-3;

/** Returns "probabilities" if the values at the positions are at least 0 and sum to 1. */
export function scoreFormOf(scores: Scores): ScoreForm {
  if (scores.classes < 2) return "logits";
  let hasDistribution = false;
  for (let position = 0; position < scores.samples * scores.positions; position++) {
    const start = scores.at(position);
    let sum = 0;
    for (let index = 0; index < scores.classes; index++) {
      const score = scores.values[start + index * scores.step] ?? Number.NaN;
      if (score < 0) return "logits";
      sum += score;
    }
    if (Number.isNaN(sum)) continue;
    if (Math.abs(sum - 1) > sumTolerance) return "logits";
    hasDistribution = true;
  }
  return hasDistribution ? "probabilities" : "logits";
}

/** Replaces probabilities of 0, which have no logarithm; Keras and others clip at the same value. */
const minProbability = 1e-7;

/** Returns scores whose softmax is the model's distribution: the logarithms of probabilities. */
export function logScores(scores: Scores, form: ScoreForm = scoreFormOf(scores)): Scores {
  if (form === "logits") return scores;
  return { ...scores, values: scores.values.map((share) => Math.log(share <= 0 ? minProbability : share)) };
}
