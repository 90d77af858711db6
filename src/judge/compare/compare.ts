/** Compares a metric of two models on the same samples, with a confidence interval. */
import type { Dataset } from "#batches";
import { dataError, type Estimate, type Model } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import {
  bootstrapPairs,
  defaultLevel,
  type Level,
  mcnemarExact,
  moments,
  pairedMeans,
  pairedScores,
  wilson,
} from "../../core/math/confidence-interval.ts";
import { bestOf, type EvaluateOptions, estimate, measure } from "../../runtime/metrics/evaluate.ts";
import type { Metric } from "../../runtime/metrics/metric.ts";
import { isAllNaN, type Predictions } from "../../runtime/metrics/predictions.ts";
import type { Comparison, Pairs } from "./goal.ts";

/** Compares two models sample by sample, on the same batches. @throws PithError as `evaluate` does. */
export async function compare(
  engine: Engine,
  original: Model,
  candidate: Model,
  dataset: Dataset,
  metric: Metric,
  options: Omit<EvaluateOptions, "original"> = {},
): Promise<Comparison> {
  const [first, second] = await measure(engine, [original, candidate], dataset, [metric], options);
  return compareRows(metric, first?.[0] ?? new Float64Array(), second?.[0] ?? new Float64Array());
}

/** Compares metric rows of the same samples in the same order. */
export function compareRows(
  metric: Metric,
  original: Float64Array,
  candidate: Float64Array,
  level: Level = defaultLevel,
): Comparison {
  if (original.length !== candidate.length || original.length === 0) {
    const sampleCounts = [original, candidate].map((rows) => rows.length / metric.columns);
    throw dataError(`A comparison needs the same samples of both models, got ${sampleCounts.join(" and ")}.`);
  }
  const commonFields = {
    metric: nameWithParts(metric, original, candidate),
    unit: metric.unit,
    better: metric.better,
    original: estimate(metric, original),
    candidate: estimate(metric, candidate),
    ...(metric.truth === "original" ? { truth: metric.truth } : {}),
  };
  const best = metric.truth === "original" ? bestOf(metric) : undefined;
  const isBest =
    best === commonFields.original.value ||
    Math.abs(commonFields.original.value - (best ?? Number.NaN)) < roundingTolerance;
  const limitToPossible = ({ value, low, high, ...rest }: Estimate): Estimate => ({
    ...rest,
    value,
    low: isBest && metric.better === "lower" ? Math.max(low, Math.min(0, value)) : low,
    high: isBest && metric.better === "higher" ? Math.min(high, Math.max(0, value)) : high,
  });
  const pairs = metric.interval === "proportion" ? countPairs(original, candidate) : undefined;
  if (pairs !== undefined) {
    const { onlyCandidate, onlyOriginal } = pairs;
    const count = original.length;
    const difference = isBest
      ? changeOfAgreement(count, onlyOriginal, level)
      : pairedScores(count, onlyCandidate, onlyOriginal, level);
    return { ...commonFields, difference, variance: (onlyCandidate + onlyOriginal) / count, pairs };
  }
  if (metric.interval !== undefined) {
    const differences = candidate.map((value, index) => value - (original[index] ?? 0));
    const difference = limitToPossible(pairedMeans(original, candidate, level));
    return { ...commonFields, difference, variance: moments(differences).variance, pairs };
  }
  const resampled = bootstrapPairs(original, candidate, metric.columns, (rows) => metric.reduce(rows), 0, level);
  const trials = metric.countsTrials === true ? compareTrials(original, candidate, level) : resampled;
  const [low, high] = [Math.min(resampled.low, trials.low), Math.max(resampled.high, trials.high)];
  const difference = { ...resampled, low, high };
  const standardError = (difference.high - difference.low) / (2 * level.z);
  return {
    ...commonFields,
    difference: limitToPossible(difference),
    variance: standardError * standardError * difference.count,
    pairs,
  };
}

function nameWithParts({ name, worstPart }: Metric, original: Float64Array, candidate: Float64Array): string {
  const [before, after] = [worstPart?.(original), worstPart?.(candidate)];
  const part = after ?? before;
  if (part === undefined) return name;
  return before === undefined || before === part
    ? `${name} of "${part}"`
    : `${name} of the worst part ("${before}", then "${part}")`;
}

/** The lower end has a continuity correction: without it, one changed prediction of ten would be significantly more than 1 %. */
function changeOfAgreement(count: number, changedCount: number, level: Level): Estimate {
  const { value, high, confidence } = wilson(changedCount, count, level);
  const { low } = wilson(Math.max(0, changedCount - 0.5), count, level);
  return { value: 0 - value, low: 0 - high, high: 0 - low, count, confidence };
}

/** The cosine of a vector with itself can be slightly below 1. */
const roundingTolerance = 1e-9;

/** Treats each trial as a sample. Otherwise, no error in few trials would be proof of none. */
function compareTrials(original: Float64Array, candidate: Float64Array, level: Level): Estimate {
  let [added, removed, trials] = [0, 0, 0];
  for (let index = 0; index < original.length; index += 2) {
    const change = (candidate[index] ?? 0) - (original[index] ?? 0);
    added += Math.max(0, change);
    removed += Math.max(0, -change);
    trials += original[index + 1] ?? 0;
  }
  return pairedScores(Math.max(1, trials, added, removed), added, removed, level);
}

/** Returns whether NaN outputs make the metric meaningless. */
export function isMeaninglessByNaN(
  { truth, better, interval }: Metric,
  originalEstimate: Estimate,
  predictions: Predictions,
): boolean {
  if (truth === "original")
    return better === "higher" ? !(originalEstimate.value > 0) : Number.isNaN(originalEstimate.value);
  return interval === "proportion" && originalEstimate.value === 0 && isAllNaN(predictions);
}

function countPairs(original: Float64Array, candidate: Float64Array): Pairs | undefined {
  const counts = [0, 0, 0, 0];
  for (let index = 0; index < original.length; index++) {
    const [a, b] = [original[index], candidate[index]];
    if ((a !== 0 && a !== 1) || (b !== 0 && b !== 1)) return undefined;
    counts[2 * a + b] = (counts[2 * a + b] ?? 0) + 1;
  }
  const [bothWrong = 0, onlyCandidate = 0, onlyOriginal = 0, bothRight = 0] = counts;
  return { bothRight, onlyOriginal, onlyCandidate, bothWrong, pValue: mcnemarExact(onlyOriginal, onlyCandidate) };
}
