/** The goal as the page shows it: the largest accepted loss, in points for shares and otherwise in the metric's unit. */
import type { SamplesView } from "../backend/backend.ts";

type Metric = Pick<SamplesView["metric"], "unit" | "better">;

const scaleOf = ({ unit }: Pick<Metric, "unit">): number => (unit === "share" ? 100 : 1);

/** Without samples, the goal is one of accuracy. */
export const accuracyMetric: Metric = { unit: "share", better: "higher" };

export const goalUnit = ({ unit }: Pick<Metric, "unit">): string => (unit === "share" ? "points" : unit);

/** Returns the loss in the metric's unit. @param shown the loss as the page shows it. */
export const lossOf = (shown: number, metric: Pick<Metric, "unit">): number => shown / scaleOf(metric);

/** Returns the value that a candidate must reach. @param original value of the original. @param shown the loss as the page shows it. */
export const goalValue = (original: number, shown: number, metric: Metric): number =>
  original + (metric.better === "higher" ? -1 : 1) * lossOf(shown, metric);

/** Returns the usual goal as the page shows it: one point, 0.1 dB, and 1 % of an error or a perplexity (docs/verdicts.md). */
export function usualGoal(metric: Metric, original: number): number {
  if (metric.unit === "dB") return 0.1;
  const loss = metric.unit === "" && metric.better === "lower" ? 0.01 * Math.abs(original) : 0.01;
  return Number((scaleOf(metric) * loss).toPrecision(2));
}
