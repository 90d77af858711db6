/** Metrics that compare a model's outputs with the original's and need no labels. */
import { type OutputPart, selectPart } from "#analysis";
import { type Batch, type Dense, dataError, dimsText, elementCount, integer, toFloat64 } from "#ir";
import { RunningMeans } from "../../core/math/running-means.ts";
import { Difference, decibels, minChange, minVariationOfData } from "../run/difference.ts";
import { fillPredicate } from "../run/mask-values.ts";
import type { Metric, MetricOptions } from "./metric.ts";
import {
  bestClass,
  containsClasses,
  logScores,
  logSumExp,
  mainOutput,
  mainOutputName,
  readScores,
  type Scores,
  scoreFormOf,
} from "./output.ts";
import { averageRows, columnSums } from "./rows.ts";

/** Share of samples with the same prediction (the class with the highest score) in both models. */
export function agreement(options: MetricOptions = {}): Metric {
  return averageRows({
    name: "agreement",
    unit: "share",
    better: "higher",
    truth: "original",
    interval: "proportion",
    rows: (outputs, original) =>
      averagePerSample(outputs, original, options, (ours, reference, position) => {
        const best = bestClass(ours, position);
        return Number(best >= 0 && best === bestClass(reference, position));
      }),
  });
}

/** Mean Σ p (log p − log q) of the original's class probabilities p from the model's q, in nats. */
export function meanKl(options: MetricOptions = {}): Metric {
  return averageRows({
    name: "KL divergence",
    unit: "nats",
    better: "lower",
    truth: "original",
    rows: (outputs, original) =>
      averagePerSample(outputs, original, options, divergence, (scores, reference) =>
        logScores(scores, options.from ?? scoreFormOf(reference)),
      ),
  });
}

/** Signal to noise 10 log10(Σ x² / Σ (x − y)²) in decibels, summed over the samples. The worst part counts. */
export function signalToNoise(options: MetricOptions = {}): Metric {
  return defineSumMetric(
    { name: "signal to noise", unit: "dB", best: Number.POSITIVE_INFINITY },
    options,
    ({ signal, noise }, _, total) => decibels(signal > 0 ? signal : (total?.signal ?? 0), noise),
  );
}

/** Relative rounding error of a sum of squares of equal values. */
const roundingShare = 1e-12;

/**
 * Share of the original's variance that the model explains: R² = 1 − Σ (x − y)² / Σ (x − mean)². The worst part of the output counts.
 * Each of the `width` elements of a sample has a separate mean, because a common mean would count an offset between two outputs as variance.
 */
export function determination(options: MetricOptions = {}): Metric {
  return defineSumMetric({ name: "R²", unit: "", best: 1 }, options, (sums, samples, total) => {
    const { noise, signal, sum, count, spread, range } = sums;
    const variance = samples > 1 ? spread : signal - sum ** 2 / Math.max(1, count);
    if (Number.isNaN(noise) || Number.isNaN(variance)) return Number.NaN;
    if (total === undefined) return variance > roundingShare * signal ? 1 - noise / variance : Number(noise === 0);
    // The variance of an even distribution over `minChange` of the range.
    const isSaturated = range !== undefined && variance < (count * (minChange * range) ** 2) / 12;
    const power = isSaturated ? count * range ** 2 : variance > minVariationOfData * signal ? variance : signal;
    return noise === 0 ? 1 : 1 - noise / (power > 0 ? power : total.signal);
  });
}

/** Columns of a row for each part: Σ (x − y)², Σ x², Σ x, their number, Σ (x − m)² with the mean m of an element, and values that masks set. */
const columnsOfSums = ["noise", "signal", "sum", "count", "spread", "filled"] as const;

type Sums = Readonly<Record<(typeof columnsOfSums)[number], number>>;

const wholeOutput: OutputPart = { name: "", indices: new Map() };

/** Defines a metric with the lowest value of a part. @param reduce returns it for one part; `total` are the sums over several parts. */
function defineSumMetric(
  metric: Pick<Metric, "name" | "unit" | "best">,
  options: MetricOptions,
  reduce: (part: Sums & Pick<OutputPart, "range">, samples: number, total: Sums | undefined) => number,
): Metric {
  const { parts = [wholeOutput] } = options;
  const columns = columnsOfSums.length * parts.length;
  const createRows = (): Metric["rows"] => {
    const means: RunningMeans[] = [];
    return (outputs, original) => {
      const pairs = parts.map((part) => pairValues(outputs, original, options, part));
      const samples = pairs[0]?.samples ?? 0;
      const rows = new Float64Array(columns * samples);
      for (const [index, partPair] of pairs.entries()) {
        means[index] ??= new RunningMeans(partPair.positions);
        for (let sample = 0; sample < samples; sample++) {
          const sums = sumsOfSample(partPair, sample, means[index]);
          const offset = columns * sample + columnsOfSums.length * index;
          rows.set(
            columnsOfSums.map((name) => sums[name]),
            offset,
          );
        }
      }
      return rows;
    };
  };
  const findWorst = (rows: Float64Array) => {
    const sums = columnSums(rows, columns);
    const total = readSums(sums);
    const values = parts.map(({ range }, index) => {
      const partSums = readSums(sums.subarray(columnsOfSums.length * index, columnsOfSums.length * (index + 1)));
      return reduce({ ...partSums, range }, rows.length / columns, parts.length > 1 ? total : undefined);
    });
    const value = Math.min(...values);
    const part = parts[values.findIndex((other) => Object.is(other, value))];
    return { value, part: parts.length < 2 || value === metric.best ? undefined : part, total };
  };
  return {
    ...metric,
    columns,
    better: "higher",
    truth: "original",
    rows: (...batches) => createRows()(...batches),
    createRows,
    reduce: (rows) => findWorst(rows).value,
    worstPart: (rows) => findWorst(rows).part?.name,
    detail(rows) {
      const { part, total } = findWorst(rows);
      const { filled, count } = total;
      const maskText = `${integer(filled)} of ${integer(filled + count)} values are set by masks (such as −1e4 and −∞) and are left out`;
      const texts = [filled > 0 && maskText, part && `of "${part.name}", the worst of ${parts.length} parts`];
      return texts.filter((text) => typeof text === "string").join("; ") || undefined;
    },
  };
}

function readSums(columns: Float64Array): Sums {
  const sums = columnSums(columns, columnsOfSums.length);
  return Object.fromEntries(columnsOfSums.map((name, index) => [name, sums[index] ?? 0])) as Sums;
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

/** Returns one value per sample: the mean of `measure` over its positions. */
function averagePerSample(
  outputs: Batch,
  original: Batch,
  options: MetricOptions,
  measure: (scores: Scores, original: Scores, position: number) => number,
  prepare: (scores: Scores, original: Scores) => Scores = (scores) => scores,
): Float64Array {
  const { name, ours, theirs: reference, samples, width, classes } = matchOutputs(outputs, original, options);
  const hasClassNames = containsClasses(reference, samples);
  // With one value per sample there are no classes, so any two models would agree.
  if (width === 1 && !hasClassNames) {
    throw dataError(`"${name}" is one number per sample: there are no classes to agree on.`, {
      hint: 'Use `metric: "r-squared"` or signal-to-noise to compare numbers.',
    });
  }
  // Without a class axis, all elements of a sample are its scores.
  const positions = hasClassNames ? width : classes > 1 ? width / classes : 1;
  const classIndices = new Map<string, number>();
  const theirs = readScores(reference, samples, samples * positions, classIndices);
  const scores = prepare(readScores(ours, samples, samples * positions, classIndices), theirs);
  const originalScores = prepare(theirs, theirs);
  return Float64Array.from({ length: samples }, (_, sample) => {
    let sum = 0;
    for (let position = sample * positions; position < (sample + 1) * positions; position++)
      sum += measure(scores, originalScores, position);
    return sum / positions;
  });
}

interface OutputPair<T> {
  readonly name: string;
  readonly samples: number;
  readonly width: number;
  readonly classes: number;
  readonly ours: T;
  readonly theirs: T;
}

interface PairedValues extends OutputPair<Float64Array> {
  readonly isFill: ReturnType<typeof fillPredicate>;
  /** Number of elements of a sample, each with a mean over the samples. */
  readonly positions: number;
}

function pairValues(outputs: Batch, original: Batch, options: MetricOptions, part: OutputPart): PairedValues {
  const { ours, theirs, samples, ...rest } = matchOutputs(outputs, original, options);
  if (theirs.type === "string" || ours.type === "string") {
    throw dataError(`Output "${rest.name}" contains text, and this metric compares numbers.`, {
      hint: 'Agreement compares outputs of any type: `metric: "agreement"`.',
    });
  }
  const originalPart = selectPart(theirs, part);
  const expected = toFloat64(originalPart);
  // The part's share of the elements that have means in the whole output.
  const { width: wholePositions = 1 } = options;
  const tailSizes = theirs.dims.map((_, axis) => elementCount(theirs.dims.slice(axis)));
  const tailStart = tailSizes.indexOf(wholePositions);
  const positions =
    part.indices.size === 0 ? wholePositions : tailStart < 0 ? 1 : elementCount(originalPart.dims.slice(tailStart));
  return {
    ...rest,
    samples,
    width: expected.length / samples,
    ours: toFloat64(selectPart({ ...ours, dims: theirs.dims } as Dense, part)),
    theirs: expected,
    isFill: fillPredicate(expected, theirs.type),
    positions,
  };
}

function matchOutputs(outputs: Batch, original: Batch, options: MetricOptions): OutputPair<Dense> {
  const name = mainOutputName(original, options.output);
  const referenceOutput = mainOutput(original, name);
  const ours = outputs[name];
  if (ours === undefined) throw dataError(`The original's output "${name}" is missing in the model.`);
  const [samples = 1] = referenceOutput.dims;
  if (
    ours.data.length !== referenceOutput.data.length ||
    (ours.type === "string") !== (referenceOutput.type === "string")
  ) {
    const [before, after] = [referenceOutput, ours].map(({ type, dims }) => `${type}${dimsText(dims)}`);
    throw dataError(`"${name}" is ${before} in the original and ${after} in the model.`, {
      hint: 'If the size of the output varies with the input, use `metric: "box-overlap"`, or another output (`output`).',
    });
  }
  if (referenceOutput.data.length === 0)
    throw dataError(`"${name}" is ${dimsText(referenceOutput.dims)}, without elements: there is nothing to compare.`);
  const classes = (referenceOutput.dims.length > 3 ? referenceOutput.dims[1] : referenceOutput.dims.at(-1)) ?? 1;
  return { name, samples, width: referenceOutput.data.length / samples, classes, ours, theirs: referenceOutput };
}

function sumsOfSample({ ours, theirs, width, isFill }: PairedValues, sample: number, means: RunningMeans): Sums {
  const error = new Difference();
  let [sum, count, spread] = [0, 0, 0];
  for (let index = 0; index < width; index++) {
    const [expected = 0, actual = 0] = [theirs[sample * width + index], ours[sample * width + index]];
    if (isFill(expected, actual)) continue;
    error.add(expected, actual);
    sum += expected;
    count++;
    spread += means.add(index, expected);
  }
  return { noise: error.noise, signal: error.signal, sum, count, spread, filled: width - count };
}
