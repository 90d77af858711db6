/** Measures a model on the samples of a task, alone or beside its original: metrics, goal, and outputs that the metric does not evaluate. */
import { outputKind } from "#analysis";
import { Miss, type Model, PithError } from "#ir";
import type { Context } from "#pass";
import type { Engine } from "../../core/engine/index.ts";
import type { Estimate, Unit } from "../../core/estimate.ts";
import { range } from "../../data/batches/indexed.ts";
import { type Dataset, mapBatches } from "../../data/index.ts";
import { estimate, measure } from "../../runtime/metrics/evaluate.ts";
import {
  type Answers,
  answers,
  answersOf,
  isAllNaN,
  isAtChance,
  shareOfMostFrequent,
} from "../../runtime/metrics/predictions.ts";
import type { Metric } from "../../runtime/metrics/types.ts";
import { batchInvariance, chooseBatch, type Invariance } from "../compare/batch-dependence.ts";
import { answersWithNaN } from "../compare/compare.ts";
import { compareOnSamples, compareRuns, type Likeness, lossOf, runPair } from "../compare/compare-function.ts";
import { type Comparison, judge, type Verdict } from "../compare/goal.ts";
import { announceDuration } from "../measure/duration-notice.ts";
import { Holdout, type HoldoutComparison } from "../measure/holdout.ts";
import { findLostKnowledge } from "../measure/judgement.ts";
import { isDistance } from "../measure/kept-function.ts";
import type { GoalOptions } from "../measure/paired-metrics.ts";
import { comparisonMetrics, selectMetric } from "../task/metrics.ts";
import type { MetricName } from "../task/named-metrics.ts";
import type { OpenedTask } from "../task/open-task.ts";
import { chanceQuestion } from "../task/prepare-images.ts";
import type { NamedModel, StepContext } from "./step-request.ts";

/** Number of samples on which outputs are compared that the metric does not evaluate. */
const comparedSamples = 32;

export interface MeasureRequest {
  readonly model: NamedModel;
  readonly original: NamedModel | undefined;
  /** The task of the original, or without one, of the model. */
  readonly task: OpenedTask;
  readonly metric: MetricName;
  readonly output: string | undefined;
  /** Samples per run; undefined to choose it. */
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

export interface Measurement {
  readonly dataset: string;
  readonly samples: number;
  /** Number of test samples in the data; undefined if all were used. */
  readonly available: number | undefined;
  readonly preprocessing: string | undefined;
  readonly figures: readonly Figure[];
  readonly truth: "labels" | "original";
  /** Note about the batch size, if outputs depend on the batch. */
  readonly note: string | undefined;
  readonly comparison: Comparison | undefined;
  readonly verdict: Verdict | undefined;
  /** Sentence if less than half of the accuracy above chance is left, and the goal does not permit this. */
  readonly lostKnowledge: string | undefined;
  /**
   * Similarity of the outputs that the metric does not evaluate, or the reason why they were not compared. Undefined if there are no such outputs and
   * all outputs have the same type and shape.
   */
  readonly others: Likeness | string | undefined;
  readonly alone: Invariance | undefined;
  /** Whether the original (or without one, the model) is not better than always predicting the most frequent class. */
  readonly atChance: boolean;
  /** Path of the model whose outputs are not a number. */
  readonly unmeasured: string | undefined;
}

/**
 * Measures both models on the same samples.
 * @returns the measurement, and the samples as the models got them.
 * @throws PithError E_OPTION if the metric compares with an original and there is none; errors of the runs.
 */
export async function measureModels(
  request: MeasureRequest,
  context: StepContext,
): Promise<{ readonly measured: Measurement; readonly samples: Dataset }> {
  const { model, original, task, output, goal: requestedGoal } = request;
  const { engine, signal } = context;
  const dataset = task.seen;
  const metrics = metricsFor(request);
  const [mainMetric] = metrics;
  const samples = samplesFor(task, mainMetric);
  context.stage("evaluate");
  const models = original === undefined ? [model.model] : [original.model, model.model];
  const options = { batch: request.batch, signal, output };
  const { batch, note, isWarning } = await chooseBatch(engine, models, samples, mainMetric.name, options);
  if (note !== undefined) context.log({ id: "batch", text: note, ...(isWarning ? { level: "warning" } : {}) });
  const { progress } = announceDuration(context, dataset.count, 1);
  const measuredMetrics = [...metrics, answers(output, mainMetric)];
  const rows = await measure(engine, models, samples, measuredMetrics, {
    ...{ batch, signal, progress },
    held: original !== undefined,
  });
  const results = rows.map((modelRows) => ({
    rows: modelRows[0] ?? new Float64Array(),
    answers: answersOf(modelRows[metrics.length] ?? new Float64Array()),
  }));
  const [before = noResult, after = before] = results;
  const figures = metrics.map((metric, index) => figureOf(metric, rows.at(-1)?.[index] ?? new Float64Array()));
  const goal = requestedGoal.maxDrop === undefined ? undefined : { ...requestedGoal, maxDrop: requestedGoal.maxDrop };
  let compared: HoldoutComparison | undefined;
  if (original !== undefined) {
    const holdout = new Holdout(mainMetric, before, range(before.answers.given.length));
    compared = holdout.compare(after);
    const text = goal && holdout.oneClassWarning(goal.maxDrop);
    if (text !== undefined) context.log({ id: "one-class", text, level: "warning" });
  }
  const comparison = compared?.comparison;
  const isNaNBefore = comparison !== undefined && answersWithNaN(mainMetric, comparison.original, before.answers);
  const unmeasured = isNaNBefore ? original?.path : givesNaN(figures, after.answers) ? model.path : undefined;
  const chance = task.labelled ? chanceOf(mainMetric, before) : undefined;
  if (chance !== undefined && !task.atChance && unmeasured === undefined)
    context.log({ id: "chance", text: chanceQuestion(task.preset, chance.score, chance.share), level: "warning" });
  const { testable } = task.stored;
  const measured: Measurement = {
    dataset: dataset.name,
    samples: figures[0]?.estimate.count ?? 0,
    available: testable === dataset.count ? undefined : testable,
    preprocessing: task.preprocessing,
    figures,
    truth: mainMetric.truth ?? "labels",
    comparison,
    verdict: comparison === undefined || goal === undefined ? undefined : judge(comparison, goal),
    lostKnowledge: compared && findLostKnowledge(compared, goal),
    others: original && (await compareOutputs(request, original.model, mainMetric, samples, context)),
    alone: await invarianceOf(engine, model.model, samples, { signal, output }),
    note,
    atChance: chance !== undefined,
    unmeasured,
  };
  return { measured, samples };
}

/** Returns the metric of the task, then those that compare the outputs of both models. */
function metricsFor({ model, original, task, metric, output }: MeasureRequest): readonly [Metric, ...Metric[]] {
  const { labelled, reading, seen } = task;
  const reference = original ?? model;
  const hasOriginal = original !== undefined;
  const mainMetric = selectMetric(reference.model, metric, output, { labelled, hasOriginal, reading });
  if (mainMetric.truth === "original" && !hasOriginal)
    throw new PithError(
      "E_OPTION",
      `\`metric: "${metric}"\` needs \`original\`: it compares a model with its original.`,
    );
  const furtherMetrics = hasOriginal
    ? comparisonMetrics(original.model, output, { ...task, samples: seen.count, metric })
    : [];
  return [mainMetric, ...furtherMetrics.filter(({ name }) => name !== mainMetric.name)];
}

/** Removes labels that the metric does not use, because they can have a form that does not fit the model. */
function samplesFor(task: OpenedTask, { truth }: Metric): Dataset {
  const samples = task.ready(task.seen);
  return truth === "original" && task.labelled ? mapBatches(samples, ({ label: _, ...batch }) => batch) : samples;
}

interface Result {
  readonly rows: Float64Array;
  readonly answers: Answers;
}

const noResult: Result = { rows: new Float64Array(), answers: answersOf(new Float64Array()) };

function figureOf(metric: Metric, rows: Float64Array): Figure {
  const { name, unit, better } = metric;
  return { metric: name, unit, better, estimate: estimate(metric, rows), detail: metric.detail?.(rows) };
}

/** Returns whether a model's outputs are not a number. Its accuracy is then 0, so its predictions count as well. */
function givesNaN(figures: readonly Figure[], predictions: Answers): boolean {
  const values = figures.map(({ estimate: { value } }) => value);
  if (values.some((value) => value !== 0 && !Number.isNaN(value))) return false;
  return values.some(Number.isNaN) || isAllNaN(predictions);
}

/**
 * Returns the score of a model and the share of the most frequent class, if the score does not exceed the share significantly. Only the original must
 * exceed it, because its result can have lost everything.
 */
function chanceOf(metric: Metric, { rows, answers: { labels } }: Result) {
  if (metric.interval !== "proportion") return undefined;
  const { value, count } = estimate(metric, rows);
  const share = shareOfMostFrequent(labels);
  return share !== undefined && isAtChance(value, share, count) ? { score: value, share } : undefined;
}

async function compareOutputs(
  { model, output }: MeasureRequest,
  original: Model,
  metric: Metric,
  samples: Dataset,
  { engine, seed, signal }: Context,
): Promise<Likeness | string | undefined> {
  const reference = keepOnlyOutput(original, output);
  const options = { samples: comparedSamples, seed, signal };
  if (!isDistance(metric))
    return compareOnSamples(engine, reference, model.model, samples, { ...options, output, values: exceptAnswer });
  const runs = await runPair(engine, reference, model.model, samples, options);
  if (runs instanceof Miss) return runs.reason;
  const all = compareRuns(runs, samples, { output }).likeness;
  return lossOf(all) === undefined ? compareRuns(runs, samples, { output, values: exceptAnswer }).likeness : all;
}

const exceptAnswer = "all but the answer";

function keepOnlyOutput(model: Model, name: string | undefined): Model {
  if (name === undefined) return model;
  const copy = model.clone();
  copy.graph.setOutputs(copy.graph.outputs.filter((output) => output.name === name));
  return copy;
}

/** Returns how much embeddings depend on the batch; undefined for other outputs, and if it cannot be measured. */
async function invarianceOf(
  engine: Engine,
  model: Model,
  samples: Dataset,
  options: { readonly signal: AbortSignal; readonly output: string | undefined },
): Promise<Invariance | undefined> {
  if (outputKind(model, options.output) !== "vector") return undefined;
  const invariance = await batchInvariance(engine, model, samples, options);
  return invariance instanceof Miss ? undefined : invariance;
}
