/** Compares two models on the same samples and decides whether a goal is met. */

import type { Engine } from "../../core/engine/engine.ts";
import { PithError } from "../../core/errors.ts";
import type { Estimate, Unit } from "../../core/estimate.ts";
import type { Model } from "../../core/graph/model.ts";
import {
  bootstrapPairs,
  defaultLevel,
  type Level,
  mcnemarExact,
  moments,
  pairedMeans,
  pairedScores,
  z95,
  zOf,
} from "../../core/math/interval.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { bestOf, type EvaluateOptions, estimate, measure } from "../../runtime/metrics/evaluate.ts";
import { type Answers, isAllNaN } from "../../runtime/metrics/predictions.ts";
import type { Metric } from "../../runtime/metrics/types.ts";

export interface Comparison {
  readonly metric: string;
  readonly unit: Unit;
  readonly better: "higher" | "lower";
  readonly original: Estimate;
  readonly candidate: Estimate;
  /** Present if the metric uses the original's outputs as truth, instead of labels. */
  readonly truth?: "original";
  /** Difference candidate − original, paired by sample. */
  readonly difference: Estimate;
  /** Variance of the difference per sample; for right-or-wrong metrics about the share of samples on which the models disagree. */
  readonly variance: number;
  /** Counts of right and wrong predictions; undefined for metrics whose rows are not right or wrong. */
  readonly pairs: Pairs | undefined;
}

export interface Pairs {
  readonly bothRight: number;
  readonly onlyOriginal: number;
  readonly onlyCandidate: number;
  readonly bothWrong: number;
  /** p-value of McNemar's exact test. */
  readonly pValue: number;
}

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

/** Compares metric rows of the same samples in the same order. If the original is the truth, the interval ends at the best possible value. */
export function compareRows(
  metric: Metric,
  original: Float64Array,
  candidate: Float64Array,
  level: Level = defaultLevel,
): Comparison {
  if (original.length !== candidate.length || original.length === 0) {
    const sampleCounts = [original, candidate].map((rows) => rows.length / metric.columns);
    throw new PithError(
      "E_DATA",
      `A comparison needs the same samples of both models, got ${sampleCounts.join(" and ")}.`,
    );
  }
  const commonFields = {
    metric: metric.name,
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
    const difference = limitToPossible(pairedScores(count, onlyCandidate, onlyOriginal, level));
    return { ...commonFields, difference, variance: (onlyCandidate + onlyOriginal) / count, pairs };
  }
  if (metric.interval !== undefined) {
    const differences = candidate.map((value, index) => value - (original[index] ?? 0));
    const difference = limitToPossible(pairedMeans(original, candidate, level));
    return { ...commonFields, difference, variance: moments(differences).variance, pairs };
  }
  const difference = bootstrapPairs(original, candidate, metric.columns, (rows) => metric.reduce(rows), 0, level);
  const standardError = (difference.high - difference.low) / (2 * level.z);
  return {
    ...commonFields,
    difference: limitToPossible(difference),
    variance: standardError * standardError * difference.count,
    pairs,
  };
}

/** Tolerance for rounding errors when the original is compared with itself: the cosine of a vector with itself can be slightly below 1. */
const roundingTolerance = 1e-9;

export interface Goal {
  /** Maximum drop in the metric's unit, such as 0.01 for one point of accuracy. */
  readonly maxDrop: number;
  /** Require the whole confidence interval to meet the goal, not only the estimate. */
  readonly strict?: boolean | undefined;
}

export interface Verdict {
  readonly verdict: "kept" | "lost" | "not shown";
  readonly met: boolean;
  /** Drop from the original to the candidate; positive if the candidate is worse. */
  readonly drop: Estimate;
}

/** Default maximum drop: 0.01 as an absolute value (one point of accuracy, 0.01 nats), and 1 % of an unbounded error or perplexity. */
const defaultShare = 0.01;
const defaultDecibels = 0.1;

/** Returns the default maximum drop: 0.01 if the best value is 1, 0.01 nats, 0.1 dB, and 1 % of an unbounded error or perplexity. */
export function usualDrop({ unit, better }: Pick<Metric, "unit" | "better">, original: number): number {
  if (unit === "dB") return defaultDecibels;
  return unit === "" && better === "lower" ? defaultShare * Math.abs(original) : defaultShare;
}

/**
 * Decides whether a candidate meets the goal. It misses the goal if the estimated drop exceeds `maxDrop` and the drop is significant: the 95 %
 * interval of the paired difference excludes zero. With `strict` the whole interval must meet the goal. A metric value that is NaN counts as lost.
 */
export function judge(comparison: Comparison, goal: Goal): Verdict {
  const { difference } = comparison;
  const { value, low, high } = difference;
  const drop =
    comparison.better === "lower" ? difference : { ...difference, value: 0 - value, low: 0 - high, high: 0 - low };
  if (isBroken(comparison)) return { verdict: "lost", met: false, drop };
  const verdict = drop.high <= goal.maxDrop ? "kept" : drop.low > goal.maxDrop ? "lost" : "not shown";
  const isMet = goal.strict === true ? verdict === "kept" : isWithin(drop, goal) || !isSignificant(comparison, drop);
  return { verdict, met: isMet, drop };
}

/** Returns whether a drop is significant at 95 %, even if its interval has a higher confidence because several candidates are compared. */
function isSignificant({ pairs, better, truth }: Comparison, drop: Estimate): boolean {
  if (pairs !== undefined) {
    // This is true if and only if the 95 % interval of `pairedScores` excludes 0.
    const { onlyOriginal, onlyCandidate } = pairs;
    const netLoss = better === "higher" ? onlyOriginal - onlyCandidate : onlyCandidate - onlyOriginal;
    return netLoss > z95 * Math.sqrt(onlyOriginal + onlyCandidate);
  }
  // If the original is the truth, the interval ends at 0, so only its upper half shows the deviation.
  const halfWidth = truth === "original" && drop.low <= 0 ? drop.high - drop.value : drop.value - drop.low;
  return drop.value > halfWidth * (z95 / zOf(drop.confidence));
}

/** Returns whether the estimated drop meets the goal. */
export function isWithin({ value }: Pick<Estimate, "value">, { maxDrop }: Goal): boolean {
  // The tolerance covers floating-point rounding: 0.93 − 0.92 is slightly more than 0.01.
  return value <= maxDrop + 1e-12;
}

/**
 * Returns whether the candidate's metric value is NaN or infinite, and the original's is not the same. Identical outputs have an infinite signal to
 * noise in both models, which is not an error.
 */
export function isBroken({ original, candidate }: Comparison): boolean {
  return !Number.isFinite(candidate.value) && candidate.value !== original.value;
}

/** Returns whether NaN outputs make the metric meaningless: the original does not agree with itself, or it is never right and all scores are NaN. */
export function answersWithNaN(
  { truth, better, interval }: Metric,
  originalEstimate: Estimate,
  predictions: Answers,
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
