/** Metrics by the names that flags call them. */
import * as v from "valibot";
import { PithError } from "../errors.ts";
import { accuracy, crossEntropy, type Metric, meanSquaredError, perplexity, topK } from "../evaluate/index.ts";

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

/** The drop that is allowed where nobody says: a point of a share. Other figures have no size that means something everywhere. */
export const usualDrop = 0.01;

/** Whether the metric is a share of right answers. */
export function isShare(metric: MetricName): boolean {
  return metric === "accuracy" || metric === "top-5";
}

/** @throws PithError E_USAGE for a drop that would allow any loss: of a share, 1 is all there is. */
export function requireMeaningfulDrop(maxDrop: number | undefined, metric: MetricName): void {
  if (maxDrop === undefined || maxDrop < 1 || !isShare(metric)) return;
  const points = maxDrop === 1 ? "one point" : `${maxDrop} points`;
  throw new PithError(
    "E_USAGE",
    `--max-drop ${maxDrop} would allow any loss: write ${maxDrop}% (${points}) or ${maxDrop / 100}.`,
  );
}

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
