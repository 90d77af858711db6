/** Decides from a comparison of two models whether a goal is met. */
import type { Estimate, Unit } from "#ir";
import { z95, zOf } from "../../core/math/confidence-interval.ts";
import type { Metric } from "../../runtime/metrics/metric.ts";

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
  readonly pValue: number;
}

export interface Goal {
  /** Maximum drop in the metric's unit, such as 0.01 for one point of accuracy. */
  readonly maxDrop: number;
  /** Require the whole confidence interval to meet the goal, not only the estimate. */
  readonly strict?: boolean | undefined;
  /** Whether the user set `maxDrop`. The precision fallback then applies to every estimate beyond it, not only to a significant one. */
  readonly stated?: boolean | undefined;
}

export interface Verdict {
  readonly verdict: "kept" | "lost" | "undecided";
  readonly met: boolean;
  /** Drop from the original to the candidate; positive if the candidate is worse. */
  readonly drop: Estimate;
}

/** Absolute (one point of accuracy, 0.01 nats), or a share of an unbounded error or perplexity. */
const defaultShare = 0.01;
const defaultDecibels = 0.1;

/** @returns the default maximum drop. */
export function defaultDrop({ unit, better }: Pick<Metric, "unit" | "better">, original: number): number {
  if (unit === "dB") return defaultDecibels;
  return unit === "" && better === "lower" ? defaultShare * Math.abs(original) : defaultShare;
}

/**
 * Decides whether a candidate meets the goal. It misses the goal if the estimated drop exceeds `maxDrop` and the drop is significant: the 95 %
 * interval of the paired difference excludes zero, or is entirely beyond `maxDrop`. With `strict` the whole interval must meet the goal. A metric
 * value that is NaN counts as lost.
 */
export function judge(comparison: Comparison, goal: Goal): Verdict {
  const { difference } = comparison;
  const { value, low, high } = difference;
  const drop =
    comparison.better === "lower" ? difference : { ...difference, value: 0 - value, low: 0 - high, high: 0 - low };
  if (isBroken(comparison)) return { verdict: "lost", met: false, drop };
  const verdict = drop.high <= goal.maxDrop ? "kept" : drop.low > goal.maxDrop ? "lost" : "undecided";
  const isMet =
    goal.strict === true
      ? verdict === "kept"
      : isWithin(drop, goal) || (verdict !== "lost" && !isSignificant(comparison, drop));
  return { verdict, met: isMet, drop };
}

/** Returns whether a drop is significant at 95 %, even if the interval has a higher confidence because several candidates are compared. */
function isSignificant({ pairs, better, truth }: Comparison, drop: Estimate): boolean {
  if (pairs !== undefined) {
    // True if and only if the 95 % interval of `pairedScores` contains only losses.
    const { onlyOriginal, onlyCandidate } = pairs;
    const netLoss = better === "higher" ? onlyOriginal - onlyCandidate : onlyCandidate - onlyOriginal;
    return netLoss > z95 * Math.sqrt(onlyOriginal + onlyCandidate);
  }
  // If the original is the truth, the interval ends at 0, so only its upper half shows the deviation.
  const halfWidth = truth === "original" && drop.low <= 0 ? drop.high - drop.value : drop.value - drop.low;
  return drop.value > halfWidth * (z95 / zOf(drop.confidence));
}

export function isWithin({ value }: Pick<Estimate, "value">, { maxDrop }: Goal): boolean {
  // Floating-point rounding: 0.93 − 0.92 is slightly more than 0.01.
  return value <= maxDrop + 1e-12;
}

/** A goal that the user stated applies to any estimated miss, the default goal to significant ones. */
export function needsFallback({ met, drop }: Verdict, goal: Goal): boolean {
  return !isWithin(drop, goal) && (!met || goal.stated === true);
}

/** An infinite value like the original's is valid: identical outputs have an infinite signal to noise. */
export function isBroken({ original, candidate }: Comparison): boolean {
  return !Number.isFinite(candidate.value) && candidate.value !== original.value;
}
