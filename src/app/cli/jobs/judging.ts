/** Compares a command's result on data with the input model, and with the teacher or original if one is given. */
import * as v from "valibot";
import { asPithError, PithError } from "../../../core/errors.ts";
import type { Model } from "../../../core/graph/model.ts";
import { allowance, figure } from "../../../core/numbers.ts";
import { open } from "../../../core/onnx/index.ts";
import type { AnyPass, Context } from "../../../core/pass/pass.ts";
import { draw } from "../../../data/index.ts";
import type { Comparison, Goal } from "../../../judge/compare/compare.ts";
import { PairedMetrics, type PairedMetricsOptions, type PairedResult } from "../../../judge/run/paired-metrics.ts";
import { Looks } from "../../../judge/run/sequential-test.ts";
import { trains } from "../../../judge/steps/step.ts";
import type { OpenedTask } from "../../../judge/task/index.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { evaluate } from "../../../runtime/metrics/evaluate.ts";
import type { Task } from "../../../runtime/metrics/types.ts";
import { type Recipe, recipeVersion } from "../../../search/recipes.ts";
import { isSamePlace } from "../files/files.ts";
import type { DataRequest } from "../flags/data.ts";
import { keepingAdvice } from "./advice.ts";
import type { PassInput } from "./pass.ts";
import { openStepsTask, type SampleUse } from "./task.ts";
import { announced } from "./time-notice.ts";

export interface Reference {
  readonly model: string;
  /** Without labels, its predictions replace them and metrics measure agreement. */
  readonly isTruth: boolean;
  /** The goal limits the drop from this model instead of the input model. */
  readonly judges: boolean;
  readonly comparison: Comparison;
}

export interface OpenedData {
  readonly task: OpenedTask;
  readonly preprocessing: string | undefined;
  readonly samples: SampleUse;
  readonly record: ReadonlyMap<string, string>;
  /** The options of the command, with data in place of a path. */
  readonly options: PassInput["options"];
}

export interface Judging {
  /** The input model, or the reference if the goal is about it. */
  readonly judge: PairedMetrics;
  readonly reference: { readonly path: string; readonly metrics: PairedMetrics } | undefined;
  readonly goal: Goal | undefined;
  compare(result: Model): Promise<Compared>;
}

export interface Compared extends PairedResult {
  readonly reference?: Reference | undefined;
}

/** Whether a large drop is acceptable because a later training recovers it. */
export function mayLose(pass: AnyPass, { maxDrop, options }: Pick<PassInput, "maxDrop" | "options">): boolean {
  return pass.beginsAnew === true || (maxDrop === undefined && pass.cutsFirst?.(options) === true);
}

export interface Aim {
  readonly path: string;
  readonly model: Model;
}

export interface References {
  /** The model that the result should approximate, if it is not the input model. */
  readonly aim: Aim | undefined;
  readonly further: readonly Aim[];
}

export async function openReferences(
  { reference, furtherReferences, checkReference }: AnyPass,
  model: Model,
  { model: own, original, options }: PassInput,
): Promise<References> {
  const first = reference === undefined ? original : options[reference];
  const others = furtherReferences === undefined ? undefined : options[furtherReferences];
  const named = [...(typeof first === "string" ? [first] : []), ...(v.is(v.array(v.string()), others) ? others : [])];
  const opened: Aim[] = [];
  for (const path of named) {
    for (const other of opened) {
      if (await isSamePlace(path, other.path))
        throw new PithError("E_OPTION", `${path} is named twice: each ${reference} has the same weight.`);
    }
    const one = { path, model: await open(path) };
    await checkReference?.(model, one.model, options);
    opened.push(one);
  }
  const aim = typeof first === "string" ? opened.shift() : undefined;
  return { aim: aim !== undefined && (await isSamePlace(aim.path, own)) ? undefined : aim, further: opened };
}

/** @throws PithError E_DATA if the data does not fit, before anything is run. */
export async function openData(
  original: Model,
  { aim }: References,
  input: PassInput,
  data: DataRequest,
  { engine }: Context,
  context: JobContext,
): Promise<OpenedData> {
  const step = { id: input.command, options: input.options };
  const recipes: readonly Recipe[] = [{ version: recipeVersion, steps: [step] }];
  const asked = { ...input, data, recipes, reference: aim?.model };
  const { task, used, evaluatedBy } = await openStepsTask(engine, original, asked, context);
  const { validation } = input.options;
  const options =
    typeof validation === "string" ? { ...input.options, validation: await evaluatedBy(validation) } : input.options;
  return { task, preprocessing: task.preprocessing, samples: used, record: task.record, options };
}

/** Measures the original. @throws PithError E_DATA if it scores no better than chance, unless it is trained. */
export async function openJudging(
  pass: AnyPass,
  original: Model,
  { aim: reference, further }: References,
  input: PassInput,
  { task }: OpenedData,
  passContext: Context,
  context: JobContext,
): Promise<Judging> {
  context.stage("original");
  const measuring = announced(passContext, task.test.count, reference === undefined ? 2 : 3);
  const settings = { batch: input.data?.batch, output: input.output };
  // Trained results, and an explicit --samples, are measured on all test samples.
  if (trains(pass) || pass.beginsAnew || input.data?.samples !== undefined) {
    // A teacher is optional; recovery requires its original.
    const isNeeded = pass.reference !== "teacher" || input.maxDrop !== undefined;
    const { metrics, aim } = await measureBoth(original, reference, isNeeded, task, settings, measuring);
    if (aim !== undefined && pass.reference === "teacher") warnAtChance(aim, context);
    await warnOfSeen(original, input, task, metrics, settings, measuring);
    if (pass.reference === "teacher" && aim?.metrics.aboveChance === true && !metrics.aboveChance)
      context.log({
        id: "student",
        text: `${input.model} begins no better than chance, as an untrained network does; if it was trained, its preprocessing may be another than that of ${aim.path}`,
      });
    for (const { path, model } of further) {
      const other = { path, metrics: await PairedMetrics.create(model, task, settings, measuring) };
      const { metric, unit, original: found } = other.metrics.original.comparison;
      context.log({ id: "teacher", text: `the teacher ${path}: ${metric} ${figure(unit, found.value)}` });
      warnAtChance(other, context);
    }
    if (!trains(pass) && !pass.beginsAnew && !input.force) metrics.requireAboveChance();
    if (!pass.beginsAnew && !input.force) (aim?.metrics ?? metrics).requireAnswers();
    // Distillation should approach the reference, so other passes or --max-drop make the reference the judge.
    const judges = aim !== undefined && (input.maxDrop !== undefined || pass.learnsAnswers !== true);
    const judge = judges ? aim.metrics : metrics;
    const goal = goalOf(judge, pass, input);
    if (goal !== undefined && trains(pass) && !input.force)
      context.log({ id: "goal", text: beforeTraining(judge, goal, judges ? aim.path : input.model, input, pass) });
    return {
      judge,
      reference: aim,
      goal,
      async compare(result) {
        const rows = await metrics.rowsOf(result);
        const found = metrics.beside(rows);
        if (aim === undefined) return found;
        const { comparison } = aim.metrics.beside(rows);
        const isTruth = task.metric.truth === "original";
        return { ...found, reference: { model: aim.path, isTruth, judges, comparison } };
      },
    };
  }
  const looks = Looks.drawn(original, task, settings, passContext);
  const judge = await looks.first(measuring);
  if (!input.force) {
    judge.requireAnswers();
    judge.requireAboveChance();
  }
  const goal = goalOf(judge, pass, input);
  return { judge, reference: undefined, goal, compare: (result) => looks.compare(result, goal) };
}

function goalOf(judge: PairedMetrics, pass: AnyPass, input: PassInput): Goal | undefined {
  return mayLose(pass, input) ? undefined : judge.goal(input, trains(pass));
}

function beforeTraining(
  judge: PairedMetrics,
  { maxDrop }: Goal,
  whose: string,
  input: PassInput,
  pass: AnyPass,
): string {
  const { metric: name, unit, original } = judge.original.comparison;
  const now = figure(unit, original.value);
  const limit = `${allowance(unit, maxDrop)} (--max-drop) and by more than chance explains`;
  return `Nothing is written if ${name} is worse than the ${now} of ${whose} by more than ${limit}${keepingAdvice(pass, input)}`;
}

const mostLookedAt = 512;

/** Warns if the model is far more accurate on validation samples than on test samples: then it was trained on them. */
async function warnOfSeen(
  model: Model,
  { options: { validation } }: PassInput,
  { train, metric }: Task,
  metrics: PairedMetrics,
  { batch }: PairedMetricsOptions,
  context: Context,
): Promise<void> {
  if (typeof validation !== "number" || train?.count === undefined || metric.truth === "original") return;
  const count = Math.min(mostLookedAt, Math.round(validation * train.count));
  if (count === 0) return;
  // The training draws its validation samples with the same seed, and these come first.
  const { engine, signal, seed } = context;
  const known = (await evaluate(engine, model, draw(train, count, seed), metric, { batch, signal })).estimate;
  const unknown = metrics.original.comparison.original;
  const isBetter = metric.better === "higher" ? known.low > unknown.high : known.high < unknown.low;
  if (!isBetter) return;
  const [seen, unseen] = [known, unknown].map(({ value }) => figure(metric.unit, value));
  const text = `before training, ${metric.name} is ${seen} on validation samples and ${unseen} on the test samples: the model, or its original, was trained on the former, and they may not show which weights are best; use other data for --validation, or train without it`;
  context.log({ id: "validation", text, level: "warning" });
}

function warnAtChance({ path, metrics }: NonNullable<Judging["reference"]>, context: Context | JobContext): void {
  const { knowledge } = metrics.holdout;
  if (metrics.aboveChance || knowledge === undefined) return;
  const [scored, guessed] = [knowledge.original, knowledge.chance].map((value) => figure("share", value));
  const text = `the teacher ${path} scores ${scored} by the labels, and always predicting the most frequent class would score ${guessed}: check the order of its classes, and how its samples are prepared`;
  context.log({ id: "chance", text, level: "warning" });
}

/**
 * Measures the input model and the reference on all samples. Without labels, the reference's predictions are the truth for both. A teacher that fails
 * to run is left out with a warning, unless the goal is measured against it.
 */
async function measureBoth(
  original: Model,
  reference: Aim | undefined,
  isNeeded: boolean,
  task: Task,
  settings: PairedMetricsOptions,
  context: Context,
): Promise<{ readonly metrics: PairedMetrics; readonly aim: Judging["reference"] }> {
  const alone = async () => ({
    metrics: await PairedMetrics.create(original, task, settings, context),
    aim: undefined,
  });
  if (reference === undefined) return alone();
  const { path, model } = reference;
  try {
    const metrics = await PairedMetrics.create(original, task, { ...settings, truth: model }, context);
    return { metrics, aim: { path, metrics: await PairedMetrics.create(model, task, settings, context) } };
  } catch (error) {
    const { message } = asPithError(error);
    if (isNeeded) throw error;
    context.log({ id: "reference", text: `${path} was not measured: ${message}`, level: "warning" });
    return alone();
  }
}
