/** Job of the commands that change a model: one step of a recipe, evaluated as recipes are, and written unless refused. */
import * as v from "valibot";
import { cost } from "../../analysis/cost.ts";
import { infer } from "../../analysis/infer.ts";
import { allLayers } from "../../analysis/layers.ts";
import { learnedCount, learnedTensors } from "../../analysis/learned.ts";
import { keptKey } from "../../analysis/provenance.ts";
import { selectLayers } from "../../analysis/selection.ts";
import { type UnevenChannels, unevenChannels } from "../../analysis/uneven-channels.ts";
import { takesImages } from "../../data/image-batches.ts";
import { readSidecars } from "../../data/index.ts";
import { recordedPrepared } from "../../data/preprocessing-spec.ts";
import { createEngine } from "../../engine/index.ts";
import { capitalized, PithError, stopIfAsked } from "../../errors.ts";
import { fewestSame, type Likeness } from "../../evaluate/compare-function.ts";
import {
  blameAmong,
  blameText,
  type Comparison,
  type Goal,
  isWithin,
  judge,
  layerToBlame,
  type Size,
  size,
  type Verdict,
} from "../../evaluate/index.ts";
import { fewDecibels } from "../../evaluate/layers.ts";
import { ResultFails, requireLoads, type WatchedEngine, watchLoads } from "../../evaluate/load-check.ts";
import { allowance, figure } from "../../evaluate/numbers.ts";
import { lostKnowledge } from "../../evaluate/predictions.ts";
import type { OnTarget } from "../../evaluate/right-on.ts";
import { type RunTarget, targetNames } from "../../evaluate/run-target.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { open, save } from "../../onnx/index.ts";
import { type AnyPass, type Change, type Context, noLongerThere, type Outcome } from "../../passes/index.ts";
import { storeWeights } from "../../passes/store-constants.ts";
import { zeroShare } from "../../passes/zeros.ts";
import { isPruned } from "../../prune/index.ts";
import { bytesOfNotes, noSmallerThan } from "../../recipe/improvement.ts";
import { judgeResult } from "../../recipe/judgement.ts";
import { type FunctionTest, type KeptFunction, keptAndLoads } from "../../recipe/kept-function.ts";
import type { PairedResult } from "../../recipe/paired-metrics.ts";
import { steps } from "../../recipe/steps.ts";
import { lossText, lossWarning, noGainText } from "../../report/verdict.ts";
import { runStep, trains } from "../../run/step.ts";
import type { MetricName } from "../../task/index.ts";
import type { Epoch, TrainingSummary } from "../../train/training-state.ts";
import type { DataRequest } from "../data.ts";
import { filesOf, requireOtherThanWeights, requireOutputs } from "../files.ts";
import { keysOf } from "../options.ts";
import { gentlerAdvice, keepingAdvice, lostAdvice } from "./advice.ts";
import { type Judging, openData, openJudging, openReferences, type Reference } from "./judging.ts";
import { contextOf, openModel, warnOfDefaults, warnOfOrder } from "./open-model.ts";
import { storeComputed } from "./store-computed.ts";
import { onTargets, withTargets } from "./target.ts";
import type { SampleUse } from "./task.ts";
import { refusingUnloadable } from "./unloadable.ts";

export interface PassInput {
  readonly command: string;
  readonly model: string;
  /** Path of the model before it was pruned, which the result is judged against; for passes that have no reference of their own. */
  readonly original?: string | undefined;
  readonly out: string;
  /** Flags of the pass, as given: it checks them itself. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly data: DataRequest | undefined;
  readonly metric: MetricName;
  readonly output: string | undefined;
  readonly maxDrop: number | undefined;
  readonly strict: boolean;
  /** Write a refused result, too. */
  readonly force: boolean;
  /** Say what would change, and nothing else. */
  readonly dryRun: boolean;
  /** Bytes of a file, at most: what is larger has its weights beside it. */
  readonly fileBytes?: number;
  readonly seed: number;
}

export interface Weight extends Size {
  readonly parameters: number;
  /** The share of zeros among them; undefined for codes, and where the size after brotli is sampled as well. */
  readonly zeros: number | undefined;
  /** A number, or a polynomial in named dimensions; undefined where an operator's cost is not known. */
  readonly macs: string | undefined;
}

export interface PassOutput {
  readonly changes: readonly Change[];
  readonly misses: readonly { readonly at: string | undefined; readonly reason: string }[];
  /** Where it trained: on how many samples, and which weights are the result. */
  readonly training?: TrainingSummary | undefined;
  /** Where it trained: the loss, steps, seconds and evaluations of each epoch. */
  readonly history?: readonly Epoch[] | undefined;
  readonly before: Weight;
  /** Bytes of the exporter's metadata in the original, which results do not have. */
  readonly metadata: number;
  readonly after?: Weight | undefined;
  /** Of the result, where it computes more or less than the model that came in. */
  readonly uneven?: UnevenChannels | undefined;
  /** The result has masks, which are stored beside the weights until they are folded in. */
  readonly masked?: boolean;
  readonly preprocessing?: string | undefined;
  /** Which samples it was trained and tested on; undefined without data. */
  readonly samples?: SampleUse | undefined;
  readonly comparison?: Comparison | undefined;
  /** The original answers no better than always predicting the most frequent class would: there was nothing to lose. */
  readonly knewNothing?: boolean | undefined;
  /** Undefined where no goal is judged. */
  readonly goal?: Goal | undefined;
  readonly verdict?: Verdict | undefined;
  /** Path of the model that the verdict is about. */
  readonly against?: string | undefined;
  /** The model that came in was pruned before it was trained, and the result is not judged against the one before pruning. */
  readonly pruned?: true | undefined;
  /** Without data, or with very little: compared with the original on random inputs, or why it was not. */
  readonly likeness?: Likeness | string | undefined;
  /** With data, of a model with several outputs that was not trained: those that the metric does not judge, or why they were not compared. */
  readonly others?: Likeness | string | undefined;
  /** On each runtime that the result is for. */
  readonly targets: readonly OnTarget[];
  /** Why the result would not have been written but for `force`. */
  readonly lost?: string | undefined;
  /** Why nothing was gained. */
  readonly idle?: string | undefined;
  /** The original or teacher beside the result on the same samples; undefined where there is none, or it could not be run. */
  readonly reference?: Reference | undefined;
  /** Undefined where nothing changed or nothing was gained: then nothing is written. */
  readonly written?: string | undefined;
}

/** @throws PithError E_NAME for a layer that is not there. */
function requireLayers(model: Model, { layers: wanted, except }: PassInput["options"]): void {
  const names = v.union([v.string(), v.array(v.string())]);
  const selection = { ...(v.is(names, wanted) ? { layers: wanted } : {}), ...(v.is(names, except) ? { except } : {}) };
  if (Object.keys(selection).length === 0) return;
  const copy = model.clone();
  storeWeights(copy);
  selectLayers(allLayers(copy, infer(copy)), selection);
}

export default function passJob(input: PassInput, context: JobContext): Promise<PassOutput> {
  const { target } = input.options;
  const names = v.is(v.array(v.picklist(targetNames)), target) && !input.dryRun ? target : [];
  return withTargets(names, context, (targets) => changed(input, targets, context));
}

async function changed(input: PassInput, targets: readonly RunTarget[], context: JobContext): Promise<PassOutput> {
  const pass = steps.get(input.command);
  if (pass === undefined) throw new Error(`There is no pass "${input.command}".`);
  const model = await openModel(input.model, context);
  await requireOtherThanWeights(input.out, model, input.model);
  requireOutputs(model, input.model);
  requireLayers(model, input.options);
  // Before the slow measurements.
  const references = await openReferences(pass, model, input);
  // A teacher is no original: it may be what Pith made.
  if (references.aim !== undefined && pass.reference !== "teacher")
    await warnOfOrder(
      [references.aim, { model, path: input.model }],
      (before, after) => [input.command, after, "--original", before],
      context,
    );
  const original = model.clone();
  const engine = watchLoads(createEngine());
  const passContext = contextOf(engine, input, context);
  const data =
    input.data === undefined
      ? undefined
      : await openData(original, references, input, input.data, passContext, context);
  const judging =
    data === undefined || input.dryRun
      ? undefined
      : await openJudging(pass, original, references, input, data, passContext, context);
  for (const [key, value] of data?.record ?? []) model.header.metadata.set(key, value);
  const isOpen = pass.beginsAnew || (input.maxDrop === undefined && pass.cutsFirst?.(input.options) === true);
  const goal = isOpen ? undefined : judging?.judge.goal(input, trains(pass));
  if (goal !== undefined && judging !== undefined && trains(pass) && !input.force)
    context.log({ id: "goal", text: beforeTraining(judging, goal, input, pass) });

  context.stage(input.command);
  const outcome = await runStep(pass, model, data?.options ?? input.options, data?.task ?? {}, passContext);
  engine.forget();
  requireInterface(original, model, outcome, input.command);
  const train = data?.samples.train;
  const used = data && { ...data.samples, train: train && { ...train, ...outcome.learnt } };
  const nothing: PassOutput = {
    changes: outcome.changes,
    misses: outcome.misses.map(({ reason, at }) => ({ reason, at })),
    training: outcome.training,
    history: outcome.history,
    before: await weightOf(original, input.model),
    metadata: await bytesOfNotes(original),
    preprocessing: data?.preprocessing,
    samples: used,
    knewNothing: judging === undefined ? undefined : !judging.judge.aboveChance,
    goal,
    targets: [],
  };
  if (outcome.changes.length === 0 || input.dryRun) return nothing;
  const idle = pass.makesSmaller === "file" ? await noSmallerThan(original, model) : undefined;
  if (idle !== undefined && !input.force) return { ...nothing, idle };
  if (pass.beginsAnew && (await isPreparedUnknown(model, input.model))) {
    const text = "no file states its preprocessing, and it cannot be guessed once the weights are reinitialized";
    const advice = "give --data here with the original, or --preprocess when you train the model";
    context.log({ id: "preprocessing", text: `${text}: ${advice}`, level: "warning" });
  }

  await storeComputed(model, context.temporary);
  if (judging !== undefined) context.stage("evaluate");
  const compared = await judging?.compare(model, goal);
  const comparison = compared?.comparison;
  const samples = used && usedOf(used, compared);
  const found = compared?.reference;
  const judged = found?.judges === true ? found.comparison : comparison;
  const judgedBy = found?.judges === true ? found.model : input.model;
  const against = found === undefined ? "" : `against ${judgedBy}, `;
  const verdict = judged === undefined || goal === undefined ? undefined : judge(judged, goal);
  const missed =
    judged === undefined || goal === undefined || verdict === undefined || verdict.met
      ? undefined
      : `${against}${lossText(judged, verdict, goal, samples?.test)}`;
  const kept = await refusingUnloadable(async () => {
    const how = {
      test: data?.task.test,
      answered: compared?.answers.given.length ?? 0,
      trained: trains(pass),
      output: input.output,
      forced: input.force,
    };
    if (!pass.beginsAnew) return compareWithOriginal(passContext, original, model, how, context);
    await requireLoads(engine, model, original);
    return undefined;
  });
  const { lost, targets: ran } = await judgeResult({ comparison, missed, kept }, input.force, () =>
    onTargets(engine, targets, original, model, { ...input, samples: data?.task.test }, context),
  );
  if (lost !== undefined && !input.force) {
    const unshown =
      lost.because === "goal" && goal !== undefined && verdict !== undefined && isWithin(verdict.drop, goal);
    // What is trained changes all layers together; of a target the layer is named already.
    const blames = !unshown && !trains(pass) && lost.because !== "target" && lost.because !== "overflow";
    const errors =
      blames && keysOf(pass.options).has("except")
        ? await layerToBlame(engine, original, model, data?.task.test, {
            output: input.output,
            seed: input.seed,
            signal: context.signal,
          })
        : undefined;
    const blamed = errors && blameAmong(errors, new Set(outcome.changes.map(({ at }) => at)));
    const first = blamed === undefined ? "" : ` ${blameText(blamed)}.`;
    throw new PithError("E_ACCURACY_LOST", `${capitalized(lost.text)}.${first} Nothing was written.`, {
      hint: lostAdvice(pass, input, {
        unshown,
        blamed,
        changes: outcome.changes,
        because: lost.because,
        lostBefore:
          found?.judges === true &&
          goal !== undefined &&
          comparison !== undefined &&
          isWithin(judge(comparison, goal).drop, goal),
        assumesScores: data?.task.assumesScores,
      }),
    });
  }
  stopIfAsked(context.signal, "Stopped on request.");
  const worse =
    judged === undefined || goal === undefined || verdict?.met !== true
      ? undefined
      : lossWarning(judged, verdict, goal);
  if (worse !== undefined)
    context.log({ id: "worse", text: `${against}${worse}.${gentlerAdvice(pass, input)}`, level: "warning" });
  const useless = found === undefined || comparison === undefined ? undefined : noGainText(input.model, comparison);
  if (useless !== undefined && (worse === undefined || found?.judges === true))
    context.log({ id: "gain", text: useless, level: "warning" });
  const knowledge = isOpen && !pass.beginsAnew ? judging?.judge.holdout.knowledge : undefined;
  const ruined = knowledge && compared && lostKnowledge(knowledge, compared.answers);
  if (ruined !== undefined)
    context.log({ id: "lost", text: `${ruined}.${gentlerAdvice(pass, input)}`, level: "warning" });
  context.stage("write");
  await save(model, input.out, { fileBytes: input.fileBytes });
  warnOfDefaults(original, context);
  context.stage("compress");
  const after = await weightOf(await open(input.out), input.out);
  return {
    ...nothing,
    samples,
    after,
    masked: isPruned(model),
    uneven: after.macs === nothing.before.macs ? undefined : unevenChannels(original, model),
    comparison,
    verdict,
    against: verdict === undefined ? undefined : judgedBy,
    pruned:
      trains(pass) && pass.reference === undefined && found === undefined && wasPruned(original) ? true : undefined,
    likeness: kept?.likeness,
    others: kept?.others,
    targets: ran,
    lost: lost?.text,
    idle,
    reference: found,
    written: input.out,
  };
}

/** Callers use inputs and outputs by name: a pass that renames one is wrong, and one that removes one has to say so. */
function requireInterface(original: Model, result: Model, { changes }: Outcome, command: string): void {
  const gone = new Set(changes.flatMap(({ at, kind }) => (kind === noLongerThere ? [at] : [])));
  const text = ({ graph }: Model): string =>
    [graph.feeds, graph.outputs]
      .map((values) => values.flatMap(({ name }) => (gone.has(name) ? [] : [name])).join(", "))
      .join(" → ");
  const [before, after] = [text(original), text(result)];
  if (before !== after)
    throw new Error(`${command} changed the model's inputs and outputs from ${before} to ${after}.`);
}

function wasPruned(model: Model): boolean {
  return model.header.metadata.has(keptKey) || isPruned(model);
}

/** The samples of a comparison that ended early. */
function usedOf(used: SampleUse, compared: PairedResult | undefined): SampleUse {
  const looked = compared?.answers.given.length;
  const { count } = used.test;
  if (looked === undefined || count === undefined || looked >= count) return used;
  return { ...used, test: { ...used.test, count: looked, of: count } };
}

/** Whether images go in, and neither the model nor a file beside it says how they are prepared. */
async function isPreparedUnknown(model: Model, path: string): Promise<boolean> {
  if (!model.graph.feeds.some(({ type }) => takesImages(type))) return false;
  if (recordedPrepared(model).images !== undefined) return false;
  return (await readSidecars(path)).preprocessing === undefined;
}

/** @throws PithError E_ENGINE if the result does not load, or, unless forced, if they have to be compared and cannot be. */
async function compareWithOriginal(
  passContext: Context & { readonly engine: WatchedEngine },
  original: Model,
  result: Model,
  judged: FunctionTest,
  context: JobContext,
): Promise<KeptFunction> {
  if (!judged.trained || judged.test === undefined) context.stage("compare");
  try {
    const kept = await keptAndLoads(passContext, original, result, judged);
    const { likeness } = kept;
    const weak =
      typeof likeness === "object" &&
      likeness.unmoved === undefined &&
      (likeness.same === undefined ? likeness.signalToNoise < fewDecibels : likeness.same < fewestSame);
    if (weak && likeness.lost === undefined)
      context.log({ id: "dissimilar", text: dissimilar(likeness), level: "warning" });
    return kept;
  } catch (error) {
    if (!(error instanceof PithError) || error.code === "E_STOPPED" || error instanceof ResultFails) throw error;
    throw error.reworded({
      hint: error.hint ?? "The result could not be compared with the original, and was not written: --force writes it.",
    });
  }
}

function dissimilar({ output, same, ofData }: Likeness): string {
  const which = output === undefined ? "" : ` "${output}"`;
  const far =
    same === undefined
      ? "the error is more than a tenth of the variance"
      : "fewer than half of the elements equal those";
  const on = ofData ? "the samples" : "random inputs";
  const measure = ofData ? "" : ": measure the result on your own samples (--data)";
  return `on ${on} ${far} of the original's output${which}${measure}`;
}

/** What will become of a training that makes a model worse, said while there is time to keep it. */
function beforeTraining({ judge, reference }: Judging, { maxDrop }: Goal, input: PassInput, pass: AnyPass): string {
  const { metric: name, unit, original } = judge.original.comparison;
  const now = figure(unit, original.value);
  const limit = `${allowance(unit, maxDrop)} (--max-drop) and by more than chance explains`;
  const whose = judge === reference?.metrics ? reference.path : input.model;
  return `Nothing is written if ${name} is worse than the ${now} of ${whose} by more than ${limit}${keepingAdvice(pass, input)}`;
}

async function weightOf(model: Model, path: string): Promise<Weight> {
  const copy = model.clone();
  // Weights in Constant nodes count as well.
  storeWeights(copy);
  const inference = infer(copy);
  const { macs } = cost(copy, inference);
  const learned = await learnedTensors(copy, inference);
  const stored = await size(...filesOf(model, path));
  return {
    ...stored,
    parameters: learnedCount(learned),
    zeros: stored.sampled ? undefined : await zeroShare(learned.keys()),
    macs: typeof macs === "number" ? String(macs) : macs?.text,
  };
}
