/** Evaluates metrics of models on a dataset, with confidence intervals. */
import { type Dataset, rowCount } from "#batches";
import { counted, dataError, type Estimate, elementCount, fixedDims, joinArrays, type Model, optionError } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { bootstrap, meanInterval, wilson } from "../../core/math/confidence-interval.ts";
import { runOverSamples } from "../run/run-over-samples.ts";
import type { Metric } from "./metric.ts";

export interface EvaluateOptions {
  /** Samples per run (64, fewer for large inputs). A model with a fixed batch size uses its own size. */
  readonly batch?: number | undefined;
  /** Required by metrics that compare with the original. */
  readonly original?: Model;
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal;
  readonly progress?: (done: number, total?: number) => void;
}

export interface Evaluation {
  readonly estimate: Estimate;
  /** [samples, columns of the metric], row-major, in the order of the data set. */
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
  if (evaluation === undefined) throw optionError("There is no metric to measure.");
  return evaluation;
}

/** Measures several metrics in one pass over the data. */
export async function evaluateAll(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  metrics: readonly Metric[],
  options: EvaluateOptions & { readonly remembered?: Model } = {},
): Promise<readonly Evaluation[]> {
  const { original, ...rest } = options;
  const models = original === undefined ? [model] : [original, model];
  const modelRows = await measure(engine, models, dataset, metrics, { ...rest, held: original !== undefined });
  return metrics.map((metric, index) => {
    const rows = modelRows.at(-1)?.[index] ?? new Float64Array();
    return { estimate: estimate(metric, rows), rows };
  });
}

/** Returns rows [model][metric] of the same batches; the first model is the original unless `held` is false. */
export async function measure(
  engine: Engine,
  models: readonly Model[],
  dataset: Dataset,
  metrics: readonly Metric[],
  options: Omit<EvaluateOptions, "original"> & { readonly held?: boolean; readonly remembered?: Model } = {},
): Promise<readonly (readonly Float64Array[])[]> {
  const needsOriginal = metrics.find((metric) => metric.truth === "original");
  if (needsOriginal !== undefined && options.held === false) {
    const text = `"${needsOriginal.name}" compares a model with its original, and no original is given.`;
    throw optionError(text, { hint: "Give the original model: option `original`." });
  }
  const collectedRows = models.map(() => metrics.map((): Float64Array[] => []));
  const readers = models.map(() =>
    metrics.map((metric) => ({ metric, read: metric.createRows?.() ?? metric.rows.bind(metric) })),
  );
  // A label that the model reads as an input is not a ground truth.
  const isLabelInput = models.some(({ graph }) => graph.feeds.some(({ name }) => name === "label"));
  const { batch = defaultBatch(models), threads, remembered, signal, progress } = options;
  const runOptions = { batch, threads, optimize: true, signal, progress };
  const observedModels = models.map((model) => ({ model, isRemembered: model === remembered }));
  const samples = await runOverSamples(engine, observedModels, dataset, runOptions, (results, columns) => {
    const { label: _, ...withoutLabel } = columns;
    const truth = isLabelInput ? withoutLabel : columns;
    const [original = {}] = results;
    const count = rowCount(columns);
    for (const [model, outputs] of results.entries())
      for (const [index, { metric, read }] of (readers[model] ?? []).entries()) {
        const rows = read(outputs, metric.truth === "original" ? original : truth, truth);
        if (metric.gathered === undefined && rows.length !== metric.columns * count)
          throw dataError(
            `The output has ${rows.length / metric.columns} entries along its first axis, and the batch ${counted(count, "sample")}: ${metric.name} cannot be computed for each sample.`,
            { hint: "Name an output whose first axis counts samples: `output`." },
          );
        collectedRows[model]?.[index]?.push(rows);
      }
  });
  return collectedRows.map((rowsOfModel) =>
    rowsOfModel.map((parts, index) => {
      const rows = joinArrays(Float64Array, parts);
      return metrics[index]?.gathered?.(rows, samples) ?? rows;
    }),
  );
}

export function estimate(metric: Metric, rows: Float64Array, seed = 0): Estimate {
  if (metric.interval === "proportion" && rows.every((row) => row === 0 || row === 1)) {
    const successes = rows.reduce((sum, row) => sum + row, 0);
    return wilson(successes, rows.length);
  }
  if (metric.interval !== undefined) return clipInterval(metric, meanInterval(rows));
  const reduce = (sample: Float64Array): number => metric.reduce(sample);
  return clipInterval(metric, bootstrap(rows, metric.columns, reduce, seed));
}

function clipInterval(metric: Metric, { low, high, ...rest }: Estimate): Estimate {
  const best = bestOf(metric);
  const [min, max] = metric.better === "lower" ? [best, undefined] : [metric.unit === "share" ? 0 : undefined, best];
  return {
    ...rest,
    low: min === undefined ? low : Math.min(rest.value, Math.max(min, low)),
    high: max === undefined ? high : Math.max(rest.value, Math.min(max, high)),
  };
}

/** Returns the metric's best possible value. */
export function bestOf({ best, unit, better }: Metric): number | undefined {
  if (best !== undefined) return best;
  return unit === "share" ? Number(better === "higher") : unit === "nats" && better === "lower" ? 0 : undefined;
}

const maxSamples = 64;
/** Bytes of the inputs of a run; activations take many times as much. */
const maxBytes = 8 * 2 ** 20;

export function defaultBatch(models: readonly Model[]): number {
  const bytes = models.map(({ graph }) =>
    graph.feeds.reduce((sum, { type }) => sum + 4 * elementCount(fixedDims(type?.dims?.slice(1)) ?? []), 0),
  );
  return Math.max(1, Math.min(maxSamples, Math.floor(maxBytes / Math.max(1, ...bytes))));
}
