/** Job of the commands that change a model: one step of a recipe, judged as recipes are, and written if it is still worth having. */
import { cost } from "../../analysis/cost.ts";
import { infer } from "../../analysis/infer.ts";
import { elementsIn, learnedTensors } from "../../analysis/learned.ts";
import { type PreprocessingSpec, readSidecars } from "../../data/index.ts";
import { takesPictures } from "../../data/pictures.ts";
import { recordedPrepared, recordPrepared } from "../../data/recorded.ts";
import { requireFittingTeacher } from "../../distill/distillation.ts";
import { createEngine, type Engine } from "../../engine/index.ts";
import { capitalized, clause, PithError, stopIfAsked } from "../../errors.ts";
import {
  type Comparison,
  type Goal,
  isBroken,
  judge,
  type Size,
  size,
  type Task,
  type Verdict,
} from "../../evaluate/index.ts";
import { ResultFails, requireLoads, watchLoads } from "../../evaluate/loads.ts";
import {
  compareFunction,
  compareOtherOutputs,
  fewSamples,
  type Likeness,
  lostIn,
  weakLikeness,
} from "../../evaluate/similarity.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { encodedSize, open, save } from "../../onnx/index.ts";
import type { Change, Context } from "../../passes/index.ts";
import { storeWeights } from "../../passes/lift-constants.ts";
import { noSmaller } from "../../recipe/gain.ts";
import { type Recipe, recipeVersion, type StepKind } from "../../recipe/index.ts";
import { Looks } from "../../recipe/looks.ts";
import { PairedMetrics, type PairedResult } from "../../recipe/paired-metrics.ts";
import { runStep, steps, trains } from "../../recipe/steps.ts";
import { lossText, lossWarning } from "../../report/verdict.ts";
import type { Epoch, TrainingSummary } from "../../train/history.ts";
import type { DataRequest } from "../data.ts";
import { filesOf, requireOtherThanWeights, requireOutputs } from "../files.ts";
import type { MetricName } from "../metrics.ts";
import { allowance, figure } from "../numbers.ts";
import { passCommandNamed } from "../passes.ts";
import { announced } from "./announced.ts";
import { openToChange } from "./open-model.ts";
import { openTask, type Used } from "./task.ts";
import { refusingUnloadable } from "./unloadable.ts";

export interface PassInput {
  readonly command: string;
  readonly model: string;
  readonly out: string;
  /** Flags of the pass, as given: it checks them itself. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly data: DataRequest | undefined;
  readonly metric: MetricName;
  readonly output: string | undefined;
  readonly maxDrop: number | undefined;
  readonly strict: boolean;
  /** Write the result whatever became of its accuracy. */
  readonly force: boolean;
  readonly seed: number;
}

export interface Weight extends Size {
  readonly parameters: number;
  /** A number, or a polynomial in named dimensions; undefined where an operator's cost is not known. */
  readonly macs: string | undefined;
}

export interface PassOutput {
  readonly changes: readonly Change[];
  readonly misses: readonly { readonly at: string | undefined; readonly reason: string }[];
  /** Where it trained: on how many samples, and which weights are the result. */
  readonly training: TrainingSummary | undefined;
  /** Where it trained: the loss, steps, seconds and evaluations of each epoch. */
  readonly history: readonly Epoch[] | undefined;
  readonly before: Weight;
  readonly after: Weight | undefined;
  readonly preprocessing: string | undefined;
  /** Which samples it was trained on and judged by; undefined without data. */
  readonly samples: Used | undefined;
  readonly comparison: Comparison | undefined;
  /** The original answers no better than always giving the commonest answer would: there was nothing to lose. */
  readonly knewNothing: boolean | undefined;
  /** What it was judged by; undefined where nothing could be lost. */
  readonly goal: Goal | undefined;
  readonly verdict: Verdict | undefined;
  /** Without data, or with next to none: held against the original on random inputs, or why it was not. */
  readonly likeness: Likeness | string | undefined;
  /** With data, of a model with several outputs that was not trained: those that the metric does not judge, or why they were not compared. */
  readonly others: Likeness | string | undefined;
  /** Why the result would not have been written but for `force`. */
  readonly lost: string | undefined;
  /** Why the result is not worth having: it was to be smaller, and is not. */
  readonly idle: string | undefined;
  /** What the original of a model that was made smaller scores on the same samples: what recovery aims at. */
  readonly aim: number | undefined;
  /** Undefined where nothing changed or nothing was gained: then nothing is written. */
  readonly written: string | undefined;
}

export default async function passJob(input: PassInput, context: JobContext): Promise<PassOutput> {
  const [kind, model] = await Promise.all([kindOf(input.command), openToChange(input.model, context)]);
  await requireOtherThanWeights(input.out, model, input.model);
  requireOutputs(model, input.model);
  // Before anything is measured: that takes its time.
  const reference = await openReference(model, input);
  const original = model.clone();
  const engine = watchLoads(createEngine());
  const passContext = contextOf(engine, input, context);
  const judging =
    input.data === undefined
      ? undefined
      : await openJudging(kind, { original, reference }, input, input.data, passContext, context);
  if (judging !== undefined) recordPrepared(model, judging.record);
  const goal = kind.unlearns === true ? undefined : judging?.metrics.goal(input, trains(kind));
  if (goal !== undefined && judging !== undefined && trains(kind) && !input.force)
    context.log({ id: "goal", text: beforeTraining(judging, goal, input) });

  context.stage(input.command);
  const outcome = await runStep(kind, model, judging?.options ?? input.options, judging?.task ?? {}, passContext);
  engine.forget();
  const nothing = {
    changes: outcome.changes,
    misses: outcome.misses.map(({ reason, at }) => ({ reason, at })),
    training: outcome.training,
    history: outcome.history,
    before: await weightOf(original, input.model),
    after: undefined,
    preprocessing: judging?.preprocessing,
    samples: judging?.samples,
    comparison: undefined,
    knewNothing: judging === undefined ? undefined : !judging.metrics.aboveChance,
    goal,
    verdict: undefined,
    likeness: undefined,
    others: undefined,
    lost: undefined,
    idle: undefined,
    aim: undefined,
    written: undefined,
  };
  if (outcome.changes.length === 0) return nothing;
  const idle = kind.shrinks === true ? noSmaller(await encodedSize(original), await encodedSize(model)) : undefined;
  if (idle !== undefined && !input.force) return { ...nothing, idle };
  if (kind.unlearns === true && (await isPreparedUnknown(model, input.model))) {
    const text = "no file states its preprocessing, and it cannot be guessed once the weights are reinitialized";
    const advice = "give --data of the original here, or --preprocess where it is trained";
    context.log({ id: "preprocessing", text: `${text}: ${advice}`, level: "warning" });
  }

  if (judging !== undefined) context.stage("evaluate");
  const compared = await judging?.compare(model, goal);
  const comparison = compared?.comparison;
  const samples = judging === undefined ? undefined : usedOf(judging.samples, compared);
  const aim =
    reference === undefined || typeof input.options.original !== "string" || comparison === undefined
      ? undefined
      : await judging?.metrics.compare(reference);
  const verdict = comparison === undefined || goal === undefined ? undefined : judge(comparison, goal);
  const missed =
    comparison === undefined || goal === undefined || verdict === undefined || verdict.met
      ? undefined
      : lossText(comparison, verdict, goal);
  const tellsTooLittle =
    kind.unlearns !== true && (compared === undefined || (compared.answers.given.length < fewSamples && !trains(kind)));
  const likeness = await refusingUnloadable(async () => {
    const found = tellsTooLittle
      ? await compareOnRandomInputs(passContext, original, model, input, context)
      : undefined;
    await requireLoads(engine, model);
    return found;
  });
  const others =
    judging === undefined || trains(kind) || kind.unlearns === true
      ? undefined
      : await compareOtherOutputs(engine, original, model, judging.task.test, { ...input, signal: context.signal });
  const broken =
    comparison !== undefined && isBroken(comparison)
      ? `${comparison.metric} is ${comparison.candidate.value}`
      : undefined;
  const lost = broken ?? missed ?? lostIn(likeness) ?? lostIn(others);
  if (lost !== undefined && !input.force) {
    throw new PithError("E_ACCURACY_LOST", `${capitalized(lost)}. Nothing was written.`, {
      hint: trains(kind) ? trainedHint(input) : lostHint(input),
    });
  }
  stopIfAsked(context.signal, "Stopped on request. Nothing was written.");
  const worse =
    comparison === undefined || goal === undefined || verdict?.met !== true
      ? undefined
      : lossWarning(comparison, verdict, goal);
  if (worse !== undefined)
    context.log({ id: "worse", text: `${worse}.${trains(kind) ? lowerRate : ""}`, level: "warning" });
  context.stage("write");
  await save(model, input.out);
  context.stage("compress");
  const after = await weightOf(await open(input.out), input.out);
  const scored = aim?.comparison.candidate.value;
  return {
    ...nothing,
    samples,
    after,
    comparison,
    verdict,
    likeness,
    others,
    lost,
    idle,
    aim: scored,
    written: input.out,
  };
}

/** Where fewer samples than there are settled it: how many. */
function usedOf(used: Used, compared: PairedResult | undefined): Used {
  const looked = compared?.answers.given.length;
  const { count } = used.test;
  if (looked === undefined || count === undefined || looked >= count) return used;
  return { ...used, test: { ...used.test, count: looked, of: count } };
}

/** Whether pictures go in, and neither the model nor a file beside it says how they are prepared. */
async function isPreparedUnknown(model: Model, path: string): Promise<boolean> {
  if (!model.graph.feeds.some(({ type }) => takesPictures(type))) return false;
  if (recordedPrepared(model).images !== undefined) return false;
  return (await readSidecars(path)).preprocessing === undefined;
}

/**
 * Without data there is still the original: what it says to random inputs.
 * @throws PithError E_ENGINE if the result does not load, or, unless forced, if they have to be compared and cannot be.
 */
async function compareOnRandomInputs(
  { engine, signal }: Context,
  original: Model,
  result: Model,
  { output, seed, force }: PassInput,
  context: JobContext,
): Promise<Likeness | string> {
  context.stage("compare");
  const progress = (done: number, total?: number): void => context.progress(done, total);
  try {
    const likeness = await compareFunction(engine, original, result, { output, seed, signal, progress });
    const weak =
      typeof likeness === "object" && likeness.unmoved === undefined && likeness.signalToNoise < weakLikeness;
    if (weak && likeness.lost === undefined)
      context.log({ id: "dissimilar", text: dissimilar(likeness), level: "warning" });
    return likeness;
  } catch (error) {
    if (!(error instanceof PithError) || error.code === "E_STOPPED" || error instanceof ResultFails) throw error;
    if (force) return clause(error.message);
    throw new PithError(error.code, error.message, {
      hint: error.hint ?? "The result could not be compared with the original, and was not written: --force writes it.",
      cause: error,
    });
  }
}

function dissimilar({ output }: Likeness): string {
  const which = output === undefined ? "" : ` "${output}"`;
  return `on random inputs the error is more than half of the variance of the original's output${which}: measure the result on your own samples (--data)`;
}

/** What will become of a training that makes a model worse, said while there is time to keep it. */
function beforeTraining({ task, metrics }: Judging, { maxDrop }: Goal, { options }: PassInput): string {
  const { name, unit } = task.metric;
  const now = figure(unit, metrics.original.comparison.original.value);
  const { checkpoint } = options;
  const kept = typeof checkpoint === "string" ? `; ${checkpoint} keeps the trained weights` : "";
  const advice =
    kept === "" ? "To keep it in any case: --checkpoint <folder>, or --force." : "--force writes it in any case.";
  const limit = `${allowance(unit, maxDrop)} (--max-drop) and by more than chance explains`;
  return `Nothing is written if ${name} (${now}) gets worse by more than ${limit}${kept}. ${advice}`;
}

function trainedHint({ options: { checkpoint } }: PassInput): string {
  const kept = typeof checkpoint === "string" ? `The trained weights are kept in ${checkpoint}. ` : "";
  return `${kept}Try a lower --learning-rate, allow more (--max-drop), or write it anyway: --force.`;
}

/** What may be done about a result that lost its function. */
function lostHint({ command, options, data }: PassInput): string {
  const { gentler } = passCommandNamed(command);
  const offers = [
    ...(gentler === undefined ? [] : [gentler(options)]),
    ...(data === undefined ? [] : ["allow more (--max-drop)"]),
    ...(data === undefined ? ["measure it on your own samples (--data)"] : []),
  ];
  return `${offers.join(", ")}, or write it anyway: --force (before fine-tuning, for instance).`;
}

const lowerRate = " A trained network needs a lower --learning-rate, such as 1e-4, or --warmup 0.1.";

/** The step of a recipe that the command runs, with the command's own form of the pass. */
async function kindOf(name: string): Promise<StepKind> {
  const kind = steps.get(name);
  if (kind === undefined) throw new Error(`There is no step "${name}".`);
  return { ...kind, pass: await passCommandNamed(name).load() };
}

function contextOf(engine: Engine, input: PassInput, context: JobContext): Context {
  return {
    engine,
    seed: input.seed,
    signal: context.signal,
    log: (event) => context.log(event),
    progress: (done, total, figures) => context.progress(done, total, figures),
    open: (reference) => open(reference),
  };
}

async function weightOf(model: Model, path: string): Promise<Weight> {
  const copy = model.clone();
  // A weight is a weight, wherever the exporter put it.
  storeWeights(copy);
  const inference = infer(copy);
  const { macs } = cost(copy, inference);
  return {
    ...(await size(...filesOf(model, path))),
    parameters: elementsIn(await learnedTensors(copy, inference)),
    macs: typeof macs === "number" ? String(macs) : macs?.text,
  };
}

interface Judging {
  readonly task: Task;
  /** The original, on as many samples as it takes to know whether it is to be judged at all. */
  readonly metrics: PairedMetrics;
  /** A result beside it. */
  compare(result: Model, goal: Goal | undefined): Promise<PairedResult>;
  /** How the images were prepared. */
  readonly preprocessing: string | undefined;
  readonly samples: Used;
  /** What the result says of it. */
  readonly record: PreprocessingSpec;
  /** Of the pass, what it evaluates by made ready. */
  readonly options: PassInput["options"];
}

/** The teacher, or the original of a model that was made smaller. @throws PithError E_SHAPE_MISMATCH for a teacher of other inputs. */
async function openReference(model: Model, { options }: PassInput): Promise<Model | undefined> {
  const { teacher, original } = options;
  if (typeof teacher === "string") {
    const opened = await open(teacher);
    requireFittingTeacher(model, opened);
    return opened;
  }
  return typeof original === "string" ? open(original) : undefined;
}

/** Measures the original. @throws PithError E_DATA if it knows nothing about the data, where it is to know that afterwards. */
async function openJudging(
  kind: StepKind,
  { original, reference }: { readonly original: Model; readonly reference: Model | undefined },
  input: PassInput,
  data: DataRequest,
  passContext: Context,
  context: JobContext,
): Promise<Judging> {
  const step = { id: input.command, options: input.options };
  const recipes: readonly Recipe[] = [{ version: recipeVersion, steps: [step] }];
  const asked = { ...input, data, recipes, reference };
  const { task, preparation, used, record, evaluatedBy } = await openTask(
    passContext.engine,
    original,
    input.model,
    asked,
    context,
  );
  const output = input.output === undefined ? {} : { output: input.output };
  const { validation } = input.options;
  const options =
    typeof validation === "string" ? { ...input.options, validation: await evaluatedBy(validation) } : input.options;
  context.stage("original");
  const measuring = announced(passContext, task.test.count, 2);
  const settings = { batch: data.batch, ...output };
  const common = { task, preprocessing: preparation.name, samples: used, record, options };
  // What takes long to make, or was asked for, is judged by all samples.
  if (trains(kind) || kind.unlearns === true || data.samples !== undefined) {
    const metrics = await PairedMetrics.create(original, task, settings, measuring);
    if (!trains(kind) && kind.unlearns !== true && !input.force) metrics.requireAboveChance();
    return { ...common, metrics, compare: (result) => metrics.compare(result) };
  }
  const looks = await Looks.create(original, task, settings, passContext, measuring);
  if (!input.force) looks.first.requireAboveChance();
  return { ...common, metrics: looks.first, compare: (result, goal) => looks.compare(result, goal) };
}
