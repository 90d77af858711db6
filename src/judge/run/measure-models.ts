/** Judges a model as it is, alone or beside its original: a run without steps, with several metrics. */
import { outputKind } from "#analysis";
import { type Estimate, Miss, type Model, optionError, type Unit } from "#ir";
import { type Dataset, mapBatches } from "../../data/index.ts";
import { estimate, measure } from "../../runtime/metrics/evaluate.ts";
import type { Metric } from "../../runtime/metrics/metric.ts";
import { isAllNaN, type Predictions, predictionRows, predictionsOf } from "../../runtime/metrics/predictions.ts";
import { type BatchInvariance, chooseBatch, measureInvariance } from "../compare/batch-dependence.ts";
import { isMeaninglessByNaN } from "../compare/compare.ts";
import type { Rows } from "../measure/holdout.ts";
import { type GoalOptions, PairedMetrics } from "../measure/paired-metrics.ts";
import { announceDuration } from "../measure/time-estimate.ts";
import { StepRunner } from "../steps/runner.ts";
import { memoryModelStore } from "../steps/store.ts";
import type { MetricName } from "../task/named-metrics.ts";
import type { OpenedTask } from "../task/open-task.ts";
import { atChanceWarning } from "../task/prepare-images.ts";
import { comparisonMetrics, selectMetric } from "../task/select-metric.ts";
import { type Judgement, runCandidate } from "./candidate.ts";
import { comparerOf } from "./step-comparison.ts";
import type { NamedModel, StepContext, StepRequest } from "./step-request.ts";

export interface MeasureRequest extends Pick<StepRequest, "inputs" | "targets"> {
  readonly model: NamedModel;
  readonly original: NamedModel | undefined;
  /** The task of the original, or without one, of the model; undefined to compare the outputs on `inputs`. */
  readonly task: OpenedTask | undefined;
  readonly metric: MetricName;
  readonly output: string | undefined;
  readonly batch: number | undefined;
  readonly goal: GoalOptions;
}

export interface Figure {
  readonly metric: string;
  readonly unit: Unit;
  readonly better: "higher" | "lower";
  readonly estimate: Estimate;
  readonly detail?: string | undefined;
}

export interface ModelMeasurement {
  readonly dataset: string;
  readonly samples: number;
  /** Number of test samples in the data; undefined if all were used. */
  readonly available: number | undefined;
  readonly preprocessing: string | undefined;
  readonly figures: readonly Figure[];
  readonly truth: "labels" | "original";
  readonly note: string | undefined;
  readonly invariance: BatchInvariance | undefined;
  /** Whether the original (or without one, the model) is not better than always predicting the most frequent class. */
  readonly atChance: boolean;
  /** Path of the model whose outputs are not a number. */
  readonly unmeasured: string | undefined;
}

export interface JudgedModel {
  /** Undefined without data. */
  readonly measured: ModelMeasurement | undefined;
  /** Undefined without an original. */
  readonly judgement: Judgement | undefined;
}

/** @throws PithError E_OPTION if the metric needs an original and there is none. */
export async function measureModels(request: MeasureRequest, context: StepContext): Promise<JudgedModel> {
  const { model, original, task, inputs, output, targets } = request;
  const comparison = task && (await openJointComparison(request, task, context));
  if (original === undefined) return { measured: comparison?.measured, judgement: undefined };
  const store = memoryModelStore(keepOnlyOutput(original.model, output), undefined);
  const { judgement } = await runCandidate({
    steps: [],
    store,
    context,
    output,
    targets,
    originalName: original.path,
    comparer: comparison && comparerOf(request, comparison.task, comparison, store),
    runner: new StepRunner({ store, data: {} }, context),
    test: comparison?.task.test ?? inputs?.test,
    // Nothing is written, so targets are checked also if a goal is missed.
    force: true,
    result: await store.keep(model.model),
  });
  return { measured: comparison?.measured, judgement };
}

/** Measures a model and its original, if there is one, in one pass over the data. */
async function openJointComparison(request: MeasureRequest, task: OpenedTask, context: StepContext) {
  const { model, original, output, goal } = request;
  const { engine, signal } = context;
  const dataset = task.shownSamples;
  const metrics = metricsFor(request, task);
  const [mainMetric] = metrics;
  const samples = dropUnusedLabels(task, mainMetric);
  context.stage("evaluate");
  const models = original === undefined ? [model.model] : [original.model, model.model];
  const options = { batch: request.batch, signal, output };
  const { batch, note, isWarning, invariance } = await chooseBatch(engine, models, samples, mainMetric.name, options);
  const { progress } = announceDuration(context, dataset.count, 1);
  const columns = await measure(engine, models, samples, [...metrics, predictionRows(output, mainMetric)], {
    batch,
    signal,
    progress,
    held: original !== undefined,
  });
  const [before = noRows, after = before] = columns.map(
    (ofModel): Rows => ({
      metricRows: ofModel[0] ?? new Float64Array(),
      answers: predictionsOf(ofModel[metrics.length] ?? new Float64Array()),
      batchNote: note === undefined ? undefined : { note, isWarning },
    }),
  );
  const maxDrop = (original && goal.maxDrop) ?? Number.POSITIVE_INFINITY;
  const comparedTask = { test: samples, metric: mainMetric };
  const paired = await PairedMetrics.create(
    (original ?? model).model,
    comparedTask,
    { batch, output, maxDrop },
    { ...context, log: (event) => (event.id === "detail" ? undefined : context.log(event)) },
    before,
  );
  const figures = metrics.map((metric, index) => figureOf(metric, columns.at(-1)?.[index] ?? new Float64Array()));
  const isNaNBefore =
    original !== undefined && isMeaninglessByNaN(mainMetric, paired.original.comparison.original, before.answers);
  const unmeasured = isNaNBefore ? original.path : givesNaN(figures, after.answers) ? model.path : undefined;
  const { knowledge } = paired.holdout;
  const atChance = task.labelled && !paired.isAboveChance;
  if (atChance && knowledge !== undefined && !task.atChance && unmeasured === undefined) {
    const text = atChanceWarning(task.preset, knowledge.original, knowledge.chance);
    context.log({ id: "chance", text, level: "warning" });
  }
  // Embeddings only.
  const ofBatches =
    outputKind(model.model, output) === "vector"
      ? (invariance ?? (await measureInvariance(engine, model.model, samples, { signal, output })))
      : undefined;
  const measured: ModelMeasurement = {
    dataset: dataset.name,
    samples: figures[0]?.estimate.count ?? 0,
    available: task.available,
    preprocessing: task.preprocessing,
    figures,
    truth: mainMetric.truth ?? "labels",
    invariance: ofBatches instanceof Miss ? undefined : ofBatches,
    note,
    atChance,
    unmeasured,
  };
  return {
    measured,
    task: comparedTask,
    goal: paired.resolveGoal({ ...goal, maxDrop }, false),
    compare: async () => paired.compareRowsTo(after),
  };
}

/** Returns the metric of the task, then those that compare the outputs of both models. */
function metricsFor(
  { model, original, metric, output }: MeasureRequest,
  { labelled, reading, shownSamples, ...task }: OpenedTask,
): readonly [Metric, ...Metric[]] {
  const reference = original ?? model;
  const hasOriginal = original !== undefined;
  const mainMetric = selectMetric(reference.model, metric, output, { labelled, hasOriginal, reading });
  if (mainMetric.truth === "original" && !hasOriginal)
    throw optionError(`\`metric: "${metric}"\` needs \`original\`: it compares a model with its original.`);
  const furtherMetrics = hasOriginal
    ? comparisonMetrics(original.model, output, { ...task, reading, samples: shownSamples.count, metric })
    : [];
  return [mainMetric, ...furtherMetrics.filter(({ name }) => name !== mainMetric.name)];
}

/** Labels that the metric does not use can have a form that does not fit the model. */
function dropUnusedLabels(task: OpenedTask, { truth }: Metric): Dataset {
  const samples = task.ready(task.shownSamples);
  return truth === "original" && task.labelled ? mapBatches(samples, ({ label: _, ...batch }) => batch) : samples;
}

const noRows: Rows = { metricRows: new Float64Array(), answers: predictionsOf(new Float64Array()) };

function figureOf(metric: Metric, rows: Float64Array): Figure {
  const { name, unit, better } = metric;
  return { metric: name, unit, better, estimate: estimate(metric, rows), detail: metric.detail?.(rows) };
}

/** NaN predictions have accuracy 0, so 0 can also mean NaN. */
function givesNaN(figures: readonly Figure[], predictions: Predictions): boolean {
  const values = figures.map(({ estimate: { value } }) => value);
  if (values.some((value) => value !== 0 && !Number.isNaN(value))) return false;
  return values.some(Number.isNaN) || isAllNaN(predictions);
}

function keepOnlyOutput(model: Model, name: string | undefined): Model {
  if (name === undefined) return model;
  const copy = model.clone();
  copy.graph.setOutputs(copy.graph.outputs.filter((output) => output.name === name));
  return copy;
}
