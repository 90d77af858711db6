import { optionError } from "#ir";
import { type MetricName, namedMetrics } from "../../../judge/task/named-metrics.ts";

/** @throws PithError E_OPTION for a maximum drop that would allow any loss, such as 1 for a share. */
export function requireMeaningfulDrop(maxDrop: number | undefined, metric: MetricName): void {
  const sentence = describeAnyLoss(maxDrop, metric);
  if (sentence !== undefined) throw optionError(`--max-drop ${sentence}.`);
}

/** Returns why a maximum drop would allow any loss, such as 1 for a share. */
export function describeAnyLoss(maxDrop: number | undefined, metric: MetricName): string | undefined {
  if (maxDrop === undefined || maxDrop < 1 || namedMetrics[metric]({}).unit !== "share") return undefined;
  const points = maxDrop === 1 ? "one point" : `${maxDrop} points`;
  return `${maxDrop} would allow any loss: write ${maxDrop}% (${points}) or ${Number((maxDrop / 100).toPrecision(6))}`;
}
