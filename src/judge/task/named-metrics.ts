/** The metrics that users select by name. */
import { boxOverlap } from "../../runtime/metrics/box-outputs.ts";
import { accuracy, crossEntropy, macroF1, matthews, perplexity, topK } from "../../runtime/metrics/class-metrics.ts";
import { agreement, determination, signalToNoise } from "../../runtime/metrics/comparison-metrics.ts";
import { detectionAgreement, meanAveragePrecision } from "../../runtime/metrics/detections.ts";
import { cosine, neighborOverlap } from "../../runtime/metrics/embedding.ts";
import { labelF1, labelPrecision, sameLabels } from "../../runtime/metrics/label-sets.ts";
import type { Metric, MetricOptions } from "../../runtime/metrics/metric.ts";
import { meanSquaredError, peakSignalToNoise, rankCorrelation } from "../../runtime/metrics/regression.ts";

export const namedMetrics = {
  accuracy,
  "top-5": (options: MetricOptions) => topK(5, options),
  "cross-entropy": crossEntropy,
  perplexity,
  f1: (options: MetricOptions) => (options.form === "label sets" ? labelF1(options) : macroF1(options)),
  matthews,
  map: (options: MetricOptions) =>
    options.form === "label sets" ? labelPrecision(options) : meanAveragePrecision(options),
  "map-50": (options: MetricOptions) => meanAveragePrecision(options, [0.5]),
  "mean-squared-error": meanSquaredError,
  psnr: peakSignalToNoise,
  "rank-correlation": rankCorrelation,
  agreement: (options: MetricOptions) =>
    options.form === "label sets"
      ? sameLabels(options)
      : options.form === undefined
        ? agreement(options)
        : detectionAgreement(options),
  "r-squared": determination,
  "signal-to-noise": signalToNoise,
  cosine,
  "same-top-10": (options: MetricOptions) => neighborOverlap(10, options),
  "label-sets": sameLabels,
  "box-overlap": () => boxOverlap(),
  detections: detectionAgreement,
} as const satisfies Readonly<Record<string, (options: MetricOptions) => Metric>>;

export type MetricName = keyof typeof namedMetrics;
