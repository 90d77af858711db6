import type { Engine } from "../../core/engine/engine.ts";
import { PithError } from "../../core/errors.ts";
import type { Estimate } from "../../core/estimate.ts";
import type { Model } from "../../core/graph/model.ts";
import { bootstrap, meanInterval, wilson } from "../../core/math/interval.ts";
import { counted } from "../../core/numbers.ts";
import { joined } from "../../core/tensor/dense.ts";
import { elementCount, fixedDims } from "../../core/tensor/dims.ts";
import { samplesIn } from "../../data/rows.ts";
import type { Dataset } from "../../data/types.ts";
import { overSamples } from "../run/over-samples.ts";
import type { Metric } from "./types.ts";

export interface EvaluateOptions {
  /** Samples per run (64, fewer for large inputs). A model with a fixed batch size uses that. */
  readonly batch?: number | undefined;
  /** Required by metrics that compare with the original. */
  readonly original?: Model;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal;
  readonly progress?: (done: number, total?: number) => void;
}

export interface Evaluation {
  readonly estimate: Estimate;
  /** samples × columns of the metric, row-major, in the order of the data set. */
  readonly rows: Float64Array;
}

/**
 * Measures a metric of a model on a data set, with its 95 % interval and the rows per sample.
 * @throws PithError E_DATA if the data does not fit the model, E_OPTION if the metric needs an original and none is given, E_STOPPED on the signal.
 * @example
 * const { estimate } = await evaluate(createEngine(), model, preprocess(data, input, presets.unit), accuracy());
 * console.log(`${estimate.value} (${estimate.low} to ${estimate.high}, ${estimate.count} samples)`);
 */
export async function evaluate(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  metric: Metric,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const [evaluation] = await evaluateAll(engine, model, dataset, [metric], options);
  if (evaluation === undefined) throw new PithError("E_OPTION", "There is no metric to measure.");
  return evaluation;
}

/** Measures several metrics in one pass over the data. Results are in the order of the metrics. */
export async function evaluateAll(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  metrics: readonly Metric[],
  options: EvaluateOptions = {},
): Promise<readonly Evaluation[]> {
  const { original, ...rest } = options;
  const models = original === undefined ? [model] : [original, model];
  const measured = await measure(engine, models, dataset, metrics, { ...rest, held: original !== undefined });
  return metrics.map((metric, index) => {
    const rows = measured.at(-1)?.[index] ?? new Float64Array();
    return { estimate: estimate(metric, rows), rows };
  });
}

/** Returns rows [model][metric] from the same batches. The first model is the original, unless `held` is false. */
export async function measure(
  engine: Engine,
  models: readonly Model[],
  dataset: Dataset,
  metrics: readonly Metric[],
  options: Omit<EvaluateOptions, "original"> & { readonly held?: boolean } = {},
): Promise<readonly (readonly Float64Array[])[]> {
  const needsOriginal = metrics.find((metric) => metric.truth === "original");
  if (needsOriginal !== undefined && options.held === false) {
    throw new PithError(
      "E_OPTION",
      `"${needsOriginal.name}" compares a model with its original, and no original is given.`,
      {
        hint: "Give the original model: option `original`.",
      },
    );
  }
  const collected = models.map(() => metrics.map((): Float64Array[] => []));
  // A label that the model reads as an input is not a ground truth.
  const inputLabel = models.some(({ graph }) => graph.feeds.some(({ name }) => name === "label"));
  const { batch = usualBatch(models), threads, signal, progress } = options;
  const running = { batch, threads, optimize: true, signal, progress };
  const observed = models.map((model) => ({ model }));
  const done = await overSamples(engine, observed, dataset, running, (results, rows) => {
    const { label: _, ...unlabelled } = rows;
    const judged = inputLabel ? unlabelled : rows;
    const [original = {}] = results;
    const count = samplesIn(rows);
    for (const [index, outputs] of results.entries())
      for (const [at, metric] of metrics.entries()) {
        const metricRows = metric.rows(outputs, metric.truth === "original" ? original : judged, judged);
        if (metric.gathered === undefined && metricRows.length !== metric.columns * count)
          throw new PithError(
            "E_DATA",
            `The output has ${metricRows.length / metric.columns} entries along its first axis, and the batch ${counted(count, "sample")}: ${metric.name} cannot be computed for each sample.`,
            { hint: "Name an output whose first axis counts samples: `output`." },
          );
        collected[index]?.[at]?.push(metricRows);
      }
  });
  return collected.map((ofModel) =>
    ofModel.map((parts, at) => {
      const rows = joined(Float64Array, parts);
      return metrics[at]?.gathered?.(rows, done) ?? rows;
    }),
  );
}

/** Reduces rows to the metric's value with its confidence interval. */
export function estimate(metric: Metric, rows: Float64Array, seed = 0): Estimate {
  if (metric.interval === "proportion" && rows.every((row) => row === 0 || row === 1)) {
    return wilson(
      rows.reduce((sum, row) => sum + row, 0),
      rows.length,
    );
  }
  if (metric.interval !== undefined) return within(metric, meanInterval(rows));
  return within(
    metric,
    bootstrap(rows, metric.columns, (drawn) => metric.reduce(drawn), seed),
  );
}

/** Clips the interval to the metric's best value, and a share to at least 0. */
function within(metric: Metric, { low, high, ...found }: Estimate): Estimate {
  const best = bestOf(metric);
  const [least, most] = metric.better === "lower" ? [best, undefined] : [metric.unit === "share" ? 0 : undefined, best];
  return {
    ...found,
    low: least === undefined ? low : Math.min(found.value, Math.max(least, low)),
    high: most === undefined ? high : Math.max(found.value, Math.min(most, high)),
  };
}

/** Returns the metric's best possible value; undefined if it is unbounded. */
export function bestOf({ best, unit, better }: Metric): number | undefined {
  if (best !== undefined) return best;
  return unit === "share" ? Number(better === "higher") : unit === "nats" && better === "lower" ? 0 : undefined;
}

const mostSamples = 64;
/** Bytes of the inputs of a run; activations take many times as much. */
const mostBytes = 8 * 2 ** 20;

export function usualBatch(models: readonly Model[]): number {
  const bytes = models.map(({ graph }) =>
    graph.feeds.reduce((sum, { type }) => sum + 4 * elementCount(fixedDims(type?.dims?.slice(1)) ?? []), 0),
  );
  return Math.max(1, Math.min(mostSamples, Math.floor(mostBytes / Math.max(1, ...bytes))));
}
