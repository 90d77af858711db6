/** Flags for the metric and for the maximum drop, and checks of their values. */
import * as v from "valibot";
import { optionError } from "#ir";
import { described, type Meanings, option } from "#pass";
import { type MetricName, namedMetrics } from "../../../judge/task/named-metrics.ts";

export const metricNames = Object.keys(namedMetrics) as [MetricName, ...MetricName[]];

const meanings: Meanings = {
  title: "Metrics (--metric), explained in docs/data.md",
  rows: [
    ["of classes", "accuracy, top-5, cross-entropy, perplexity, f1, matthews"],
    ["of labels, boxes", "f1, map; for boxes map-50"],
    ["of numbers", "mean-squared-error, rank-correlation; for images psnr"],
    [
      "without labels",
      "agreement, r-squared, signal-to-noise, cosine, same-top-10, label-sets, box-overlap, detections",
    ],
  ],
};

const group = "Evaluation:";

export const metricFlags = {
  metric: v.optional(
    described(v.picklist(metricNames), "what is measured; without labels, the difference from the original", {
      group,
      meanings,
      common: true,
    }),
    "accuracy",
  ),
  output: option(v.string(), 'output to evaluate (default: "logits", else the first float output)', {
    value: "name",
    group,
  }),
};

export const goalFlags = {
  maxDrop: option(v.pipe(v.number(), v.minValue(0)), "largest metric drop (default: 1%, or 0.1 dB; docs/verdicts.md)", {
    group,
    common: true,
  }),
  strict: option(v.boolean(), "require the whole 95 % confidence interval to stay within --max-drop", { group }),
  force: option(v.boolean(), "write the result even if it loses too much", { group, common: true }),
};

/** @throws PithError E_OPTION for a maximum drop that would allow any loss, such as 1 for a share. */
export function requireMeaningfulDrop(maxDrop: number | undefined, metric: MetricName): void {
  const sentence = describeAnyLoss(maxDrop, metric);
  if (sentence !== undefined) throw optionError(`--max-drop ${sentence}.`);
}

/** Returns why a maximum drop would allow any loss, such as 1 for a share; undefined if it does not. */
export function describeAnyLoss(maxDrop: number | undefined, metric: MetricName): string | undefined {
  if (maxDrop === undefined || maxDrop < 1 || namedMetrics[metric]({}).unit !== "share") return undefined;
  const points = maxDrop === 1 ? "one point" : `${maxDrop} points`;
  return `${maxDrop} would allow any loss: write ${maxDrop}% (${points}) or ${Number((maxDrop / 100).toPrecision(6))}`;
}
