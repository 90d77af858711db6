/** The metrics that users select by name. */
import { boxOverlap } from "../../runtime/metrics/boxes.ts";
import { agreement, determination, signalToNoise } from "../../runtime/metrics/comparison-metrics.ts";
import { cosine, neighbourOverlap } from "../../runtime/metrics/embedding.ts";
import {
  accuracy,
  crossEntropy,
  type MetricOptions,
  macroF1,
  matthews,
  perplexity,
  topK,
} from "../../runtime/metrics/metrics.ts";
import { meanSquaredError, peakSignalToNoise, rankCorrelation } from "../../runtime/metrics/regression.ts";
import type { Metric } from "../../runtime/metrics/types.ts";

export const namedMetrics = {
  accuracy,
  "top-5": (options: MetricOptions) => topK(5, options),
  "cross-entropy": crossEntropy,
  perplexity,
  f1: macroF1,
  matthews,
  "mean-squared-error": meanSquaredError,
  psnr: peakSignalToNoise,
  "rank-correlation": rankCorrelation,
  agreement,
  "r-squared": determination,
  "signal-to-noise": signalToNoise,
  cosine,
  "same-top-10": (options: MetricOptions) => neighbourOverlap(10, options),
  "box-overlap": () => boxOverlap(),
} as const satisfies Readonly<Record<string, (options: MetricOptions) => Metric>>;

export type MetricName = keyof typeof namedMetrics;
