/** Finding what a model says: which output is evaluated, and where the scores of a sample lie in it. */
import { PithError } from "../errors.ts";
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import { dimsText } from "../tensor/dims.ts";
import type { Batch, Dense } from "../tensor/types.ts";

/**
 * The name of the output that is evaluated: the one asked for, else "logits", else the first of floats, else the first.
 * @throws PithError E_DATA if there is none.
 */
export function mainOutputName(outputs: Batch, wanted?: string): string {
  const names = Object.keys(outputs);
  const hasFloats = (name: string): boolean => isFloat(outputs[name]?.type ?? "string");
  const found = wanted ?? (hasFloats("logits") ? "logits" : (names.find(hasFloats) ?? names[0]));
  if (found === undefined) throw new PithError("E_DATA", "The model has no output that is a tensor.");
  outputNamed(outputs, found);
  return found;
}

/** The output that is evaluated. @throws PithError E_DATA if there is none. */
export function mainOutput(outputs: Batch, wanted?: string): Dense {
  return outputNamed(outputs, mainOutputName(outputs, wanted));
}

export function outputNamed(outputs: Batch, name: string): Dense {
  const found = outputs[name];
  if (found !== undefined) return found;
  throw new PithError("E_DATA", `The model has no output "${name}", only ${Object.keys(outputs).join(", ")}.`);
}

/**
 * Scores of classes at positions: one position for each label, so what a label counts decides how an output is read.
 * Logits of [N, C], [1, 1, C] and [N, C, 1, 1] have one position a sample, [N, T, C] has T, [N, C, H, W] has H · W.
 */
export interface Scores {
  readonly samples: number;
  readonly positions: number;
  readonly classes: number;
  /** The values are the classes themselves, one at a position, and nothing is said of the others. */
  readonly named?: true;
  /** Scores of class c at position p (counted over the batch): values[at(p) + c · step]. */
  readonly values: Float64Array;
  readonly step: number;
  at(position: number): number;
}

export const numbersHint = [
  'Numeric labels are measured by mean squared error or rank correlation, images by peak signal-to-noise ratio: `metric: "mean-squared-error"`, rank-correlation or psnr; against an original by r-squared.',
  'To train on them: `loss: "mse"`.',
];

/** What compares numbers that score no classes: the end of a sentence. */
export const ofNumbers = 'if it scores no classes, `metric: "r-squared"` tells more';

/**
 * Whether an output names classes rather than scoring them, as ArgMax does: its elements are names, or whole numbers too wide to be rounded
 * scores; or there is one whole number for each label.
 */
export function namesClasses({ type, data }: Dense, labels: number): boolean {
  if (isFloat(type)) return false;
  return (type !== "int8" && type !== "uint8") || data.length === labels;
}

/**
 * @param texts numbers of classes that are answered with by their names, shared by outputs that are compared; they are given as they come.
 * @throws PithError E_DATA if the elements do not divide into scores for the labels.
 */
export function scoresFor(dense: Dense, samples: number, labels: number, texts = new Map<string, number>()): Scores {
  const values = dense.type === "string" ? numbered(dense.data, texts) : toFloat64(dense);
  const classes = labels === 0 ? 0 : values.length / labels;
  const positions = samples === 0 ? 0 : labels / samples;
  if (!Number.isInteger(positions) || !Number.isInteger(classes) || classes < 1) {
    throw new PithError(
      "E_DATA",
      `An output of ${dimsText(dense.dims)} gives no scores of classes for ${labels} labels of ${samples} samples.`,
      { hint: numbersHint },
    );
  }
  const [first] = dense.dims;
  if (first !== samples && first !== labels) {
    throw new PithError(
      "E_DATA",
      `An output of ${dimsText(dense.dims)} does not have ${samples} samples along its first axis.`,
    );
  }
  if (classes === 1 && namesClasses(dense, labels)) {
    return { samples, positions, classes, named: true, values, step: 1, at: (position) => position };
  }
  const last = dense.dims.at(-1);
  // An image with as many columns as classes leaves both readings open: planes are the usual one.
  if (positions > 1 && dense.dims[1] === classes && (last !== classes || dense.dims.length > 3)) {
    // Class planes, as in segmentation: N×C×positions.
    const at = (position: number): number =>
      Math.floor(position / positions) * classes * positions + (position % positions);
    return { samples, positions, classes, values, step: positions, at };
  }
  if (positions > 1 && last !== classes) {
    throw new PithError(
      "E_DATA",
      `An output of ${dimsText(dense.dims)} has no class axis: it gives ${positions * classes} numbers per sample, and the data ${positions} labels.`,
      { hint: numbersHint },
    );
  }
  return { samples, positions, classes, values, step: 1, at: (position) => position * classes };
}

/** Scores of two classes from one number at each position: [1 − p, p] of a probability, [0, x] of a logit. */
export function binaryScores(scores: Scores, form: ScoreForm = "logits"): Scores {
  const values = new Float64Array(2 * scores.values.length);
  scores.values.forEach((value, at) => {
    values[2 * at] = form === "probabilities" ? 1 - value : 0;
    values[2 * at + 1] = value;
  });
  return { ...scores, classes: 2, values, step: 1, at: (position) => 2 * position };
}

function numbered(names: readonly string[], texts: Map<string, number>): Float64Array {
  return Float64Array.from(names, (name) => {
    const known = texts.get(name) ?? texts.size;
    texts.set(name, known);
    return known;
  });
}

export function requireScores({ named }: Scores, figure: string): void {
  if (named !== true) return;
  throw new PithError("E_DATA", `The output names a class for each sample and gives no scores: ${figure} needs them.`, {
    hint: [
      "Accuracy, F1, Matthews' correlation and agreement need the class only.",
      "Or name an output with scores: `output`.",
    ],
  });
}

/**
 * The class that is named, or the one with the greatest score, the first of equals; −1 where a score is NaN, since then nothing has been said.
 */
export function bestClass(scores: Scores, position: number): number {
  const start = scores.at(position);
  if (scores.named === true) return scores.values[start] ?? -1;
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

/** log Σ exp of the scores at a position, shifted by the greatest so that nothing overflows. */
export function logSumExp(scores: Scores, position: number): number {
  requireScores(scores, "a figure in nats");
  const start = scores.at(position);
  let greatest = Number.NEGATIVE_INFINITY;
  for (let index = 0; index < scores.classes; index++) {
    const score = scores.values[start + index * scores.step] ?? Number.NaN;
    if (Number.isNaN(score)) return Number.NaN;
    greatest = Math.max(greatest, score);
  }
  if (!Number.isFinite(greatest)) return greatest;
  let sum = 0;
  for (let index = 0; index < scores.classes; index++) {
    sum += Math.exp((scores.values[start + index * scores.step] ?? 0) - greatest);
  }
  return greatest + Math.log(sum);
}

/** What scores are: of any size, or shares that sum to one already. Logarithms of shares are scores like any others. */
export type ScoreForm = "logits" | "probabilities";

/** How far from 1 the sum of a row may be: float16 rounds a thousand shares to less. */
const sumTolerance = 1e-3;

/**
 * What the numbers say that they are: probabilities if at every position all are at least 0 and their sum is 1. Scores of several classes
 * do not sum to 1 in every row unless something made them. Positions with a NaN say nothing.
 */
export function formOf(scores: Scores): ScoreForm {
  if (scores.classes < 2) return "logits";
  let said = false;
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
    said = true;
  }
  return said ? "probabilities" : "logits";
}

/** What a share that was rounded to 0 counts as, in whatever format: Keras and others clip at the same. */
const leastShare = 1e-7;

/** Scores of which a softmax is the model's distribution: of probabilities their logarithms, else what is given. */
export function logScores(scores: Scores, form: ScoreForm = formOf(scores)): Scores {
  if (form === "logits") return scores;
  return { ...scores, values: scores.values.map((share) => Math.log(share <= 0 ? leastShare : share)) };
}
