/** Flags for metric and goal (`--metric`, `--max-drop`, …), and the names of metrics. */
import * as v from "valibot";
import { type Meanings, option, withHelp } from "#pass";
import type { MetricName } from "../../../judge/task/named-metrics.ts";

/** Names the metrics without loading their code. */
const metricKeys: Readonly<Record<MetricName, true>> = {
  accuracy: true,
  "top-5": true,
  "cross-entropy": true,
  perplexity: true,
  f1: true,
  matthews: true,
  map: true,
  "map-50": true,
  "mean-squared-error": true,
  psnr: true,
  "rank-correlation": true,
  agreement: true,
  "r-squared": true,
  "signal-to-noise": true,
  cosine: true,
  "same-top-10": true,
  "label-sets": true,
  "box-overlap": true,
  detections: true,
};

export const metricNames = Object.keys(metricKeys) as [MetricName, ...MetricName[]];

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
    withHelp(v.picklist(metricNames), "what is measured; without labels, the difference from the original", {
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
