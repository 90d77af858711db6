/** Selects the metric of a model by its outputs and the labels of the data. */
import {
  assumedScores,
  dataDependentSizes,
  detectionForm,
  distributionOf,
  infer,
  isInUnitRange,
  mainOutput,
  outputKind,
  outputPartsOf,
} from "#analysis";
import { dataError, dimsText, elementCount, type Model } from "#ir";
import { boxOverlap } from "../../runtime/metrics/box-outputs.ts";
import { agreement, determination, meanKl, signalToNoise } from "../../runtime/metrics/comparison-metrics.ts";
import { detectionAgreement } from "../../runtime/metrics/detections.ts";
import { cosine, minSamplesOf, neighborOverlap } from "../../runtime/metrics/embedding.ts";
import { sameLabels } from "../../runtime/metrics/label-sets.ts";
import type { Metric, MetricOptions } from "../../runtime/metrics/metric.ts";
import { type MetricName, namedMetrics } from "./named-metrics.ts";

export interface MetricSelection {
  readonly labelled: boolean;
  readonly hasOriginal?: boolean;
  /** How the output is read, by its graph and its values (`findReading`); default: by the graph alone. */
  readonly reading?: MetricOptions | undefined;
}

/** Without labels, returns the metric that compares this kind of output with the original. */
export function selectMetric(
  model: Model,
  name: MetricName,
  output: string | undefined,
  { labelled, hasOriginal = true, reading = readingOf(model, output) }: MetricSelection,
): Metric {
  const defaultName = typeof reading.form === "object" ? "map" : reading.form === "label sets" ? "f1" : name;
  const metric = namedMetrics[name === "accuracy" ? defaultName : name](reading);
  if (name === "agreement") requireClasses(model, output);
  // An embedding has no classes.
  if (labelled && hasOriginal && name === "accuracy" && outputKind(model, output) === "vector") return cosine(reading);
  if (labelled || metric.truth === "original") return metric;
  return comparisonMetrics(model, output, { reading })[0] ?? agreement({ output });
}

/** @throws PithError E_DATA for shape [batch, steps, 1], where agreement would treat steps as classes. */
function requireClasses(model: Model, output: string | undefined): void {
  const value = mainOutput(model.graph.outputs, output);
  const dims = value?.type?.dims;
  if (value === undefined || dims?.length !== 3 || dims[2] !== 1 || outputKind(model, output) !== "number") return;
  throw dataError(`"${value.name}" is ${dimsText(dims)}, one number per step: there are no classes to agree on.`, {
    hint: 'Use `metric: "r-squared"` or signal-to-noise to compare numbers.',
  });
}

/** If one of these metrics is requested, the outputs are not class scores. */
const numericMetrics: ReadonlySet<MetricName> = new Set([
  "mean-squared-error",
  "psnr",
  "rank-correlation",
  "r-squared",
]);

/** Metrics for a comparison with the original, most informative first. @param options a numeric metric makes ambiguous outputs numbers. */
export function comparisonMetrics(
  model: Model,
  output: string | undefined,
  {
    samples = Number.POSITIVE_INFINITY,
    metric,
    reading: options = readingOf(model, output),
  }: {
    readonly samples?: number | undefined;
    readonly metric?: MetricName;
    readonly reading?: MetricOptions | undefined;
  } = {},
): readonly Metric[] {
  const hasScales = options.form === undefined && (options.parts ?? []).length > 1;
  const isNumeric = hasScales || (metric !== undefined && numericMetrics.has(metric));
  const isNumber = isNumeric && assumedScores(model, output) !== undefined;
  if (isNumber) return [determination(options), signalToNoise(options)];
  if (options.form === "label sets") return [sameLabels(options), signalToNoise(options)];
  if (options.form !== undefined) return [detectionAgreement(options), determination(options), signalToNoise(options)];
  switch (outputKind(model, output)) {
    case "boxes":
      // Two models can return different numbers of boxes, so their values cannot be paired for signal to noise.
      return [
        boxOverlap(),
        ...(dataDependentSizes(model)("boxes")
          ? []
          : [{ ...signalToNoise({ output: "boxes" }), name: 'signal to noise of "boxes"' }]),
      ];
    case "vector":
      return [
        cosine(options),
        ...(samples < minSamplesOf(10) ? [] : [neighborOverlap(10, options)]),
        signalToNoise(options),
      ];
    case "number":
    case "detections":
    case "image":
      return [determination(options), signalToNoise(options)];
    case "class":
      return [agreement(options)];
    case "labels":
    case "classes":
      return [agreement(options), meanKl(options), signalToNoise(options)];
  }
}

/** Reads from the graph whether the main output has probabilities, labels or detections. Quantized probabilities do not sum to 1. */
export function readingOf(model: Model, output: string | undefined): MetricOptions {
  const inference = infer(model);
  const value = mainOutput(model.graph.outputs, output);
  if (value === undefined) return { output };
  // A single output of a sigmoid is the probability of the second class.
  const isBinary = value.type?.dims?.at(-1) === 1 && isInUnitRange(value, inference);
  const kind = outputKind(model, output);
  const form =
    kind === "labels" ? "label sets" : kind === "detections" ? detectionForm(model, value, inference) : undefined;
  const areShares = isBinary || kind === "labels" || distributionOf(value, inference) === "probabilities";
  const sizes = value.type?.dims?.slice(1) ?? [];
  const fixedSizes = sizes.slice(sizes.findLastIndex((size) => typeof size !== "number") + 1);
  const width = elementCount(fixedSizes.filter((size) => typeof size === "number"));
  const parts = outputPartsOf(model, value.name);
  return {
    output,
    width,
    ...(parts.length > 1 && { parts }),
    ...(form && { form }),
    ...(areShares && { from: "probabilities" }),
  };
}
