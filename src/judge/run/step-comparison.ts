/** Compares the result of a step with its input model, and with the teacher or original if there is one. */
import { draw } from "#batches";
import { allowance, asPithError, figureText, type Model } from "#ir";
import type { Context } from "#pass";
import { evaluate } from "../../runtime/metrics/evaluate.ts";
import type { Task } from "../../runtime/metrics/metric.ts";
import { type Comparison, type Goal, judge, type Verdict } from "../compare/goal.ts";
import { Looks } from "../measure/looks.ts";
import { PairedMetrics, type PairedMetricsOptions } from "../measure/paired-metrics.ts";
import { findLostKnowledge } from "../measure/rejection-cause.ts";
import { announceDuration } from "../measure/time-estimate.ts";
import { isTraining } from "../steps/step-options.ts";
import type { Store } from "../steps/store.ts";
import type { Comparer, MetricComparison } from "./candidate.ts";
import type { StepContext, StepRequest } from "./step-request.ts";
import { keepingAdvice } from "./training-advice.ts";

export interface Reference {
  readonly model: string;
  /** Whether the reference's predictions replace missing labels. */
  readonly isTruth: boolean;
  /** Whether the goal limits the drop from the reference, and not the drop from the input model. */
  readonly isGoalBaseline: boolean;
  readonly comparison: Comparison;
  readonly lostKnowledge?: string | undefined;
}

export interface GoalCheck {
  readonly comparison: Comparison;
  readonly goal: Goal;
  readonly verdict: Verdict;
  readonly against: string;
  /** "against teacher.onnx, "; "" if the only reference is the input model. */
  readonly prefix: string;
  /** Sentence if the result lost most of what the compared model knows, and the goal does not permit this. */
  readonly lostKnowledge: string | undefined;
}

export interface StepComparison extends Pick<Comparer, "goal" | "searched"> {
  compare(result: Model): Promise<MetricComparison>;
}

export const comparerOf = (
  { batch, output }: Pick<StepRequest, "batch" | "output">,
  task: Comparer["task"],
  { goal, searched, compare }: StepComparison,
  store: Store,
): Comparer => ({
  task,
  options: { batch, output },
  goal,
  searched,
  compare: async (result) => compare(await store.read(result)),
  without: async (others) => comparerOf({ batch, output }, task, { ...others, goal }, store),
});

interface MeasuredReference {
  readonly path: string;
  readonly metrics: PairedMetrics;
}

/** A later training recovers the drop. */
export function allowsLargeDrop({ pass, goal, options }: Pick<StepRequest, "pass" | "goal" | "options">): boolean {
  return goal?.maxDrop === undefined && pass.cutsFirst?.(options) === true;
}

export function checkGoal(
  { comparison, lostKnowledge, reference }: MetricComparison,
  goal: Goal | undefined,
  input: string,
): GoalCheck | undefined {
  if (goal === undefined) return undefined;
  const baseline = reference?.isGoalBaseline === true ? reference : { comparison, lostKnowledge, model: input };
  const prefix = reference === undefined ? "" : `against ${baseline.model}, `;
  return {
    comparison: baseline.comparison,
    goal,
    verdict: judge(baseline.comparison, goal),
    against: baseline.model,
    prefix,
    lostKnowledge: findLostKnowledge(baseline, goal),
  };
}

/** @throws PithError E_DATA if the input is at chance level, unless the pass trains it or `force`. */
export async function openComparison(request: StepRequest, task: Task, context: StepContext): Promise<StepComparison> {
  const { pass, input, references, force, usesAllSamples, batch, output } = request;
  context.stage("original");
  // Without labels, the evaluation of the result runs the original again.
  const passes = references?.first === undefined && task.metric.truth !== "original" ? 2 : 3;
  const announcingContext = announceDuration(context, task.test.count, passes);
  const settings = { batch, output, maxDrop: request.goal?.maxDrop };
  if (isTraining(pass) || usesAllSamples) return compareOnAll(request, task, settings, announcingContext);
  const looks = Looks.drawSamples(input.model, task, settings, context);
  const metrics = await looks.measureFirst(announcingContext);
  if (!force) {
    metrics.requireAnswers();
    metrics.requireAboveChance();
  }
  const goal = goalFor(metrics, request);
  return { goal, compare: (result) => looks.compare(result, goal) };
}

async function compareOnAll(
  request: StepRequest,
  task: Task,
  settings: PairedMetricsOptions,
  context: Context,
): Promise<StepComparison> {
  const { pass, input, references, goal: requestedGoal = {}, force = false } = request;
  // A teacher is optional; recovery requires its original.
  const isNeeded = pass.reference !== "teacher" || requestedGoal.maxDrop !== undefined;
  const { metrics, reference } = await measureBoth(request, isNeeded, task, settings, context);
  const hasTeacher = pass.reference === "teacher";
  if (reference !== undefined && hasTeacher) warnAtChance(reference, context);
  await warnOfTrainedSamples(request, task, metrics, settings, context);
  if (hasTeacher && reference?.metrics.isAboveChance === true && !metrics.isAboveChance)
    context.log({
      id: "student",
      text: `${input.path} begins no better than chance, as an untrained network does; if it was trained, its preprocessing may be another than that of ${reference.path}`,
    });
  for (const { path, model } of references?.others ?? []) {
    const teacher = await PairedMetrics.create(model, task, settings, context);
    const { metric, unit, original } = teacher.original.comparison;
    context.log({ id: "teacher", text: `the teacher ${path}: ${metric} ${figureText(unit, original.value)}` });
    warnAtChance({ path, metrics: teacher }, context);
  }
  if (!isTraining(pass) && !force) metrics.requireAboveChance();
  if (!force) (reference?.metrics ?? metrics).requireAnswers();
  // Distillation and recovery are judged against their input model by default.
  const limitsDrop = reference !== undefined && (requestedGoal.maxDrop !== undefined || pass.learnsAnswers !== true);
  const judgingMetrics = limitsDrop ? reference.metrics : metrics;
  const goal = goalFor(judgingMetrics, request);
  if (goal !== undefined && isTraining(pass) && !force)
    context.log({
      id: "goal",
      text: textBeforeTraining(judgingMetrics, goal, limitsDrop ? reference : { path: input.path, reference }, request),
    });
  return {
    goal,
    async compare(result) {
      const rows = await metrics.rowsOf(result);
      const metricComparison = { ...metrics.compareRowsTo(rows), invariance: rows.invariance };
      if (reference === undefined) return metricComparison;
      const { comparison, lostKnowledge } = reference.metrics.compareRowsTo(rows);
      const isTruth = task.metric.truth === "original";
      return {
        ...metricComparison,
        reference: { model: reference.path, isTruth, isGoalBaseline: limitsDrop, comparison, lostKnowledge },
      };
    },
  };
}

const goalFor = (metrics: PairedMetrics, request: StepRequest): Goal | undefined =>
  allowsLargeDrop(request) ? undefined : metrics.resolveGoal(request.goal ?? {}, isTraining(request.pass));

function textBeforeTraining(
  metrics: PairedMetrics,
  { maxDrop }: Goal,
  { path, reference }: { readonly path: string; readonly reference?: MeasuredReference | undefined },
  { pass, options }: StepRequest,
): string {
  const { metric, unit, original } = metrics.original.comparison;
  const option = reference === undefined ? " (`maxDrop`)" : "";
  const limit = `${allowance(unit, maxDrop)}${option}, with statistical significance`;
  const value = figureText(unit, original.value);
  const other = reference === undefined ? "" : ` To limit the drop from ${reference.path} instead: \`maxDrop\`.`;
  return `Nothing is written if ${metric} is worse than the ${value} of ${path} by more than ${limit}${keepingAdvice(pass, options)}${other}`;
}

const maxCheckedSamples = 512;

/** A model that is far more accurate on validation than on test samples was probably trained on the former. */
async function warnOfTrainedSamples(
  { input, options: { validation } }: StepRequest,
  { train, metric }: Task,
  metrics: PairedMetrics,
  { batch }: PairedMetricsOptions,
  context: Context,
): Promise<void> {
  if (typeof validation !== "number" || train?.count === undefined || metric.truth === "original") return;
  const count = Math.min(maxCheckedSamples, Math.round(validation * train.count));
  if (count === 0) return;
  // The training draws the validation samples with the same seed.
  const { engine, signal, seed } = context;
  const onValidation = (await evaluate(engine, input.model, draw(train, count, seed), metric, { batch, signal }))
    .estimate;
  const onTest = metrics.original.comparison.original;
  const isBetter = metric.better === "higher" ? onValidation.low > onTest.high : onValidation.high < onTest.low;
  if (!isBetter) return;
  const [seen, unseen] = [onValidation, onTest].map(({ value }) => figureText(metric.unit, value));
  const text = `before training, ${metric.name} is ${seen} on validation samples and ${unseen} on the test samples: the model, or its original, was trained on the former, and they may not show which weights are best; use other data for \`validation\`, or train without it`;
  context.log({ id: "validation", text, level: "warning" });
}

function warnAtChance({ path, metrics }: MeasuredReference, { log }: Pick<Context, "log">): void {
  const { knowledge } = metrics.holdout;
  if (metrics.isAboveChance || knowledge === undefined) return;
  const [scored, guessed] = [knowledge.original, knowledge.chance].map((value) => figureText("share", value));
  const text = `the teacher ${path} scores ${scored} by the labels, and always predicting the most frequent class would score ${guessed}: check the order of its classes, and how its samples are prepared`;
  log({ id: "chance", text, level: "warning" });
}

/** Without labels, the reference's predictions are the truth for both models. A reference that fails is left out, unless the goal needs it. */
async function measureBoth(
  { input, references }: StepRequest,
  isNeeded: boolean,
  task: Task,
  settings: PairedMetricsOptions,
  context: Context,
): Promise<{ readonly metrics: PairedMetrics; readonly reference: MeasuredReference | undefined }> {
  const measureAlone = async () => ({
    metrics: await PairedMetrics.create(input.model, task, settings, context),
    reference: undefined,
  });
  if (references?.first === undefined) return measureAlone();
  const { path, model } = references.first;
  try {
    const metrics = await PairedMetrics.create(input.model, task, { ...settings, truth: model }, context);
    return { metrics, reference: { path, metrics: await PairedMetrics.create(model, task, settings, context) } };
  } catch (error) {
    const { message } = asPithError(error);
    if (isNeeded) throw error;
    context.log({ id: "reference", text: `${path} was not measured: ${message}`, level: "warning" });
    return measureAlone();
  }
}
