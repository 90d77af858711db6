/** Metrics that compare a model's outputs with the original's and need no labels. Sums of squares skip values that masks set (`mask-values.ts`). */
import { PithError } from "../../core/errors.ts";
import { toFloat64 } from "../../core/tensor/convert.ts";
import { dimsText } from "../../core/tensor/dims.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { Difference, decibels, variation } from "../run/difference.ts";
import { fillPredicate } from "../run/mask-values.ts";
import { averageRows, columnSums, type MetricOptions } from "./metrics.ts";
import {
  bestClass,
  formOf,
  logScores,
  logSumExp,
  mainOutput,
  mainOutputName,
  namesClasses,
  readScores,
  type Scores,
} from "./output.ts";
import type { Metric } from "./types.ts";

/** Share of samples with the same prediction (the class with the highest score) in both models. */
export function agreement(options: MetricOptions = {}): Metric {
  return averageRows({
    name: "agreement",
    unit: "share",
    better: "higher",
    truth: "original",
    interval: "proportion",
    rows: (outputs, original) =>
      perSample(outputs, original, options, (ours, reference, position) => {
        const best = bestClass(ours, position);
        return Number(best >= 0 && best === bestClass(reference, position));
      }),
  });
}

/** Mean Σ p (log p − log q) of the original's class probabilities p from the model's q, in nats. It changes before predictions do. */
export function meanKl(options: MetricOptions = {}): Metric {
  return averageRows({
    name: "KL divergence",
    unit: "nats",
    better: "lower",
    truth: "original",
    rows: (outputs, original) =>
      perSample(outputs, original, options, divergence, (scores, reference) =>
        logScores(scores, options.from ?? formOf(reference)),
      ),
  });
}

/** Signal to noise 10 log10(Σ x² / Σ (x − y)²) in decibels, summed over all samples; infinite if nothing changed. */
export function signalToNoise(options: MetricOptions = {}): Metric {
  const figure = (rows: Float64Array): number => {
    const [signal = 0, noise = 0] = columnSums(rows, 2);
    return decibels(signal, noise);
  };
  return defineSumMetric(
    { name: "signal to noise", unit: "dB", best: Number.POSITIVE_INFINITY, columns: 2 },
    options,
    (pairs, sample) => {
      const { error } = sumsOf(pairs, sample, 1);
      return [error.signal, error.noise];
    },
    figure,
  );
}

/** Relative rounding error of a sum of squares of equal values. */
const roundingShare = 1e-12;

/** Maximum number of separate means over the samples. Larger outputs are divided into this number of equal parts, each with one mean. */
const maxMeans = 32;

/**
 * Share of the original's variance that the model explains: R² = 1 − Σ (x − y)² / Σ (x − mean)². It is 1 if nothing changed.
 *
 * Each element of a sample (or each of 32 equal parts) has a separate mean over the samples if `width` is given. A common mean would count an offset
 * between two outputs, such as 5 and 300, as explained variance. A constant original yields 1 or 0.
 */
export function determination(options: MetricOptions = {}): Metric {
  const means = Math.min(maxMeans, Math.max(1, options.width ?? 1));
  const columns = 2 + 2 * means;
  const figure = (rows: Float64Array): number => {
    const [noise = 0, squares = 0, ...sums] = columnSums(rows, columns);
    const [totals, counts] = [sums.slice(0, means), sums.slice(means)];
    // A single sample has one mean over all of its values.
    const groups = rows.length > columns ? [totals, counts] : [totals, counts].map((values) => [values.reduce(add, 0)]);
    const variance = variation(squares, groups[0] ?? [], groups[1] ?? []);
    if (Number.isNaN(noise) || Number.isNaN(variance)) return Number.NaN;
    return variance > roundingShare * squares ? 1 - noise / variance : Number(noise === 0);
  };
  const numbers = (pairs: Numbers, sample: number): readonly number[] => {
    const { error, sums, counts } = sumsOf(pairs, sample, means);
    return [error.noise, error.signal, ...sums, ...counts];
  };
  return defineSumMetric({ name: "R²", unit: "", best: 1, columns }, options, numbers, figure);
}

const add = (a: number, b: number): number => a + b;

function defineSumMetric(
  metric: Pick<Metric, "name" | "unit" | "best" | "columns">,
  options: MetricOptions,
  numbers: (pairs: Numbers, sample: number) => readonly number[],
  reduce: (rows: Float64Array) => number,
): Metric {
  const { columns } = metric;
  return {
    ...metric,
    better: "higher",
    truth: "original",
    rows(outputs, original) {
      const pairs = pair(outputs, original, options);
      const rows = new Float64Array(columns * pairs.samples);
      for (let sample = 0; sample < pairs.samples; sample++) rows.set(numbers(pairs, sample), columns * sample);
      return rows;
    },
    reduce,
  };
}

function divergence(ours: Scores, reference: Scores, position: number): number {
  const [sumP, sumQ] = [logSumExp(reference, position), logSumExp(ours, position)];
  let sum = 0;
  for (let index = 0; index < reference.classes; index++) {
    const logP = (reference.values[reference.at(position) + index * reference.step] ?? 0) - sumP;
    const logQ = (ours.values[ours.at(position) + index * ours.step] ?? 0) - sumQ;
    const p = Math.exp(logP);
    // p log p → 0 as p → 0.
    if (p > 0 || Number.isNaN(p)) sum += p * (logP - logQ);
  }
  return sum;
}

/** Returns one value per sample: the mean of `measure` over its positions. Classes are the last axis, or axis 1 of images (rank 4). */
function perSample(
  outputs: Batch,
  original: Batch,
  options: MetricOptions,
  measure: (scores: Scores, original: Scores, position: number) => number,
  prepare: (scores: Scores, original: Scores) => Scores = (scores) => scores,
): Float64Array {
  const { name, ours, theirs: reference, samples, width, classes } = matchOutputs(outputs, original, options);
  const hasClassNames = namesClasses(reference, samples);
  // With one value per sample there are no classes, so any two models would agree.
  if (width === 1 && !hasClassNames) {
    throw new PithError("E_DATA", `"${name}" is one number per sample: there are no classes to agree on.`, {
      hint: 'Use `metric: "r-squared"` or signal-to-noise to compare numbers.',
    });
  }
  // Without a class axis, all elements of a sample are its scores.
  const positions = hasClassNames ? width : classes > 1 ? width / classes : 1;
  const texts = new Map<string, number>();
  const theirs = readScores(reference, samples, samples * positions, texts);
  const scores = prepare(readScores(ours, samples, samples * positions, texts), theirs);
  const originalScores = prepare(theirs, theirs);
  return Float64Array.from({ length: samples }, (_, sample) => {
    let sum = 0;
    for (let position = sample * positions; position < (sample + 1) * positions; position++)
      sum += measure(scores, originalScores, position);
    return sum / positions;
  });
}

interface Pair<T> {
  readonly name: string;
  readonly samples: number;
  readonly width: number;
  readonly classes: number;
  readonly ours: T;
  readonly theirs: T;
}

interface Numbers extends Pair<Float64Array> {
  readonly isFill: ReturnType<typeof fillPredicate>;
}

function pair(outputs: Batch, original: Batch, options: MetricOptions): Numbers {
  const { ours, theirs, ...rest } = matchOutputs(outputs, original, options);
  if (theirs.type === "string" || ours.type === "string") {
    throw new PithError("E_DATA", `Output "${rest.name}" contains text, and this metric compares numbers.`, {
      hint: 'Agreement compares outputs of any type: `metric: "agreement"`.',
    });
  }
  const expected = toFloat64(theirs);
  return { ...rest, ours: toFloat64(ours), theirs: expected, isFill: fillPredicate(expected, theirs.type) };
}

/** Returns the compared output of both models. @throws PithError E_DATA if their sizes or kinds differ. */
function matchOutputs(outputs: Batch, original: Batch, options: MetricOptions): Pair<Dense> {
  const name = mainOutputName(original, options.output);
  const referenceOutput = mainOutput(original, name);
  const ours = outputs[name];
  if (ours === undefined) throw new PithError("E_DATA", `The original's output "${name}" is missing in the model.`);
  const [samples = 1] = referenceOutput.dims;
  if (
    ours.data.length !== referenceOutput.data.length ||
    (ours.type === "string") !== (referenceOutput.type === "string")
  ) {
    const [before, after] = [referenceOutput, ours].map(({ type, dims }) => `${type}${dimsText(dims)}`);
    throw new PithError("E_DATA", `"${name}" is ${before} in the original and ${after} in the model.`, {
      hint: 'If the size of the output varies with the input, use `metric: "box-overlap"`, or another output (`output`).',
    });
  }
  if (referenceOutput.data.length === 0)
    throw new PithError(
      "E_DATA",
      `"${name}" is ${dimsText(referenceOutput.dims)}, without elements: there is nothing to compare.`,
    );
  const classes = (referenceOutput.dims.length > 3 ? referenceOutput.dims[1] : referenceOutput.dims.at(-1)) ?? 1;
  return { name, samples, width: referenceOutput.data.length / samples, classes, ours, theirs: referenceOutput };
}

function sumsOf({ ours, theirs, width, isFill }: Numbers, sample: number, parts: number) {
  const [error, sums, counts] = [new Difference(), new Float64Array(parts), new Float64Array(parts)];
  for (let index = 0; index < width; index++) {
    const [expected = 0, actual = 0] = [theirs[sample * width + index], ours[sample * width + index]];
    if (isFill(expected, actual)) continue;
    error.add(expected, actual);
    const part = Math.floor((index * parts) / width);
    sums[part] = (sums[part] ?? 0) + expected;
    counts[part] = (counts[part] ?? 0) + 1;
  }
  return { error, sums, counts };
}
