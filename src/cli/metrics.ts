/** Metrics by the names that flags call them. */
import * as v from "valibot";
import { accuracy, crossEntropy, type Metric, meanSquaredError, perplexity, topK } from "../evaluate/index.ts";
import { percent } from "./numbers.ts";

export const metricNames = ["accuracy", "top-5", "cross-entropy", "perplexity", "mean-squared-error"] as const;
export type MetricName = (typeof metricNames)[number];

/** Entries for the schema of a command that measures. */
export const metricFlags = {
  metric: v.optional(v.pipe(v.picklist(metricNames), v.description("the figure that counts")), "accuracy"),
  output: v.optional(
    v.pipe(
      v.string(),
      v.description('the output that is the answer; else "logits", or the first of floats'),
      v.metadata({ value: "name" }),
    ),
  ),
};

export function metricNamed(name: MetricName, output: string | undefined): Metric {
  const options = output === undefined ? {} : { output };
  switch (name) {
    case "accuracy":
      return accuracy(options);
    case "top-5":
      return topK(5, options);
    case "cross-entropy":
      return crossEntropy(options);
    case "perplexity":
      return perplexity(options);
    case "mean-squared-error":
      return meanSquaredError(options);
  }
}

/** Shares are shown as percentages, other figures as numbers. */
export function isShare(metric: string): boolean {
  return /accuracy|agreement/.test(metric);
}

/** Units of figures that have one. */
const units: Readonly<Record<string, string>> = { "signal to noise": " dB", "KL divergence": " nats" };

export function figure(metric: string, value: number): string {
  return isShare(metric) ? percent(value) : `${value.toPrecision(4)}${units[metric] ?? ""}`;
}

/** A difference between two figures: of shares in points. */
export function change(metric: string, value: number): string {
  const size = isShare(metric) ? `${(100 * value).toFixed(1)} points` : figure(metric, value);
  return value > 0 ? `+${size}` : size;
}
