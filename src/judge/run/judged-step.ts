/** Runs one pass for a command such as `pith quantize`: compares the result with its references, and decides whether it can be kept. */

import { hasFloatWeights, infer } from "#analysis";
import { capitalize, Miss, type Model, PithError } from "#ir";
import { type AnyPass, type Change, type Context, equalizedReference, namesAt, type OptionValues } from "#pass";
import { counted, excessText, figure } from "../../core/numbers.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { type Blame, restrictToChanged } from "../../runtime/noise/layer-errors.ts";
import { minDecibels } from "../../runtime/noise/layers.ts";
import { ResultFails, requireLoads } from "../../runtime/run/load-check.ts";
import { type Likeness, minSame } from "../compare/compare-function.ts";
import { isWithin, judge, needsFallback } from "../compare/goal.ts";
import { inputsPhrase } from "../compare/output-comparison.ts";
import type { OnTarget } from "../compare/target-check.ts";
import { fitToDownload } from "../fallback/download-budget.ts";
import {
  excessOf,
  excessOfNoise,
  type SeparateSearch,
  searchWithoutData,
  separateSearchSamples,
} from "../fallback/fallback-samples.ts";
import { findLayerToBlame } from "../fallback/layer-table.ts";
import { formatSettings, type PrecisionFallback } from "../fallback/precise-layers.ts";
import {
  FailedFallback,
  type FallbackJudge,
  type FallbackRequest,
  findFallback,
  type StepOutput,
} from "../fallback/precision-fallback.ts";
import { fitToBytes } from "../fallback/size-budget.ts";
import { announceCalibration } from "../measure/duration-notice.ts";
import { whyNotSmaller } from "../measure/improvement.ts";
import { judgeResult, type Lost } from "../measure/judgement.ts";
import { checkFunctionAndLoading, type KeptFunction, type Training, withOutputsOf } from "../measure/kept-function.ts";
import { lossText, lossWarning, noGainText } from "../record/verdict.ts";
import { memoryModels } from "../steps/loose-models.ts";
import { Runner, type StepResult } from "../steps/runner.ts";
import { runStep, type StepParts, samplesOf } from "../steps/step.ts";
import { trains } from "../steps/step-options.ts";
import { lessLossyAdvice } from "./step-advice.ts";
import {
  allowsLargeDrop,
  type Compared,
  checkGoal,
  type GoalCheck,
  openComparison,
  type StepComparison,
} from "./step-comparison.ts";
import type { StepContext, StepRequest } from "./step-request.ts";
import { reportTargets } from "./target-report.ts";

export interface JudgedStep {
  readonly outcome: StepResult;
  /** Undefined if nothing changed. */
  readonly result: Model | undefined;
  /** Undefined for a dry run, and if nothing changed. */
  readonly judgement: Judgement | undefined;
  readonly comparison: StepComparison | undefined;
  readonly fallback: PrecisionFallback | undefined;
  /** Number of samples, disjoint from the test samples, on which the options or layers were chosen; undefined without such a choice. */
  readonly searched: number | undefined;
  /** Reason why nothing was gained; undefined if the file is smaller, or the pass is not meant to reduce the file size. */
  readonly noGainText: string | undefined;
  /** Undefined if the result can be kept. */
  readonly rejection: Rejection | undefined;
}

export interface Judgement {
  readonly compared: Compared | undefined;
  readonly goalCheck: GoalCheck | undefined;
  /** Comparison of the outputs; undefined for a pass that discards the trained weights on purpose. */
  readonly kept: KeptFunction | undefined;
  readonly lost: Lost | undefined;
  readonly targets: readonly OnTarget[];
}

export interface Rejection {
  readonly because: Lost["because"];
  readonly text: string;
  /** Result of the precision fallback, as the end of a sentence; undefined if the fallback was not used. */
  readonly tried: string | undefined;
  readonly blamed: Blame | undefined;
  readonly changes: readonly Change[];
  readonly isUnshown: boolean;
  /** Whether the drop comes from earlier steps: the result misses the goal relative to the reference, but meets it relative to the input model. */
  readonly isLostBefore: boolean;
  readonly isTrainable: boolean;
}

interface OpenStep extends StepRequest {
  readonly context: StepContext;
  readonly comparison: StepComparison | undefined;
}

/**
 * Runs a step and decides whether its result can be kept. With `fallback`, a result that misses the goal gets layers at higher precision.
 * @throws PithError E_DATA if the original is at chance level, E_ACCURACY_LOST if no result passes together with the other models of a folder, and
 * the errors of the pass.
 */
export async function runJudgedStep(request: StepRequest, stepContext: StepContext): Promise<JudgedStep> {
  const { pass, input, task, dryRun = false, force = false, fallback = false } = request;
  const context = { ...stepContext, kept: fallback && pass.milderForms !== undefined ? new Map() : undefined };
  const comparison = task === undefined || dryRun ? undefined : await openComparison(request, task, context);
  context.stage(pass.id);
  const store = memoryModels(copyInput(request), request.temporary);
  let untrained: Compared | undefined;
  const beforeTraining = async (model: Model): Promise<void> => {
    untrained = await comparison?.compare(model);
  };
  const runContext = { ...context, beforeTraining, phase: context.stage };
  const runner = new Runner({ store, parts: samplesFor(request, request.options) }, runContext);
  const { step, options, searched } = await chooseOptionsForLimit({ ...request, context, comparison });
  const parts = samplesFor(request, options);
  if (!dryRun) await announceCalibration(pass, options, input.model, parts.calibrate, context);
  const samples = samplesOf(pass, options, parts);
  if (samples !== undefined && samples !== task?.calibrate && samples !== task?.train)
    context.log({ id: "calibration", text: `calibrated on ${samples.name}` });
  const outcome = await runner.run({ pass, options }, store.original);
  context.engine.forget();
  const baseResult = { outcome, judgement: undefined, comparison, fallback: undefined, searched, rejection: undefined };
  if (outcome.changes.length === 0) return { ...baseResult, result: undefined, noGainText: undefined };
  const result = await store.open(outcome.output);
  if (dryRun) return { ...baseResult, result, noGainText: undefined };
  const noGainText = pass.makesSmaller === "file" ? await whyNotSmaller(input.model, result) : undefined;
  if (noGainText !== undefined && !force) return { ...baseResult, result, noGainText };
  const judgement = await judgeModel(step, result);
  if (untrained !== undefined && judgement.compared !== undefined) {
    const [before, after] = [untrained, judgement.compared].map(({ comparison: { unit, candidate } }) =>
      figure(unit, candidate.value),
    );
    const text = `the student before training: ${untrained.comparison.metric} ${before}, after it ${after}`;
    context.log({ id: "student", text });
  }
  const fallbackResult = await keepWithFallback(step, { ...outcome, model: result }, judgement);
  if (fallbackResult === undefined || fallbackResult instanceof Miss) {
    const rejection = await findRejection(step, result, judgement, outcome.changes, fallbackResult);
    if (rejection === undefined || force) warnOfLoss(step, judgement);
    if (rejection === undefined && fallbackResult !== undefined)
      context.log({
        id: "fallback",
        text: `no layers are kept at higher precision: ${fallbackResult.reason}`,
        level: "warning",
      });
    return { ...baseResult, result, judgement, noGainText, rejection };
  }
  const { output, judgement: fallbackJudgement } = fallbackResult;
  const rejection = await findRejection(
    step,
    output.model,
    fallbackJudgement,
    output.changes,
    new Miss(describeFallback(fallbackResult.fallback)),
  );
  if (rejection === undefined || force) warnOfLoss(step, fallbackJudgement);
  const { changes, misses, model } = output;
  return {
    ...{ outcome: { ...outcome, changes, misses }, result: model, judgement: fallbackJudgement, comparison },
    ...{ fallback: fallbackResult.fallback, searched: fallbackResult.searched },
    noGainText: undefined,
    rejection,
  };
}

/** Returns the samples on which models are compared: those of the data, else texts, else none, for random inputs. */
const testOf = ({ task, inputs }: StepRequest): Dataset | undefined => task?.test ?? inputs?.test;

/** Returns the samples for the pass. Texts serve options that need samples or improve a language model with them, unless the pass uses the data. */
function samplesFor({ pass, task, inputs }: StepRequest, options: OptionValues): StepParts {
  if (inputs === undefined) return task ?? {};
  const isNeeded = task === undefined && typeof pass.data === "object" && pass.data.when(options) !== undefined;
  const calibrate = isNeeded ? { calibrate: inputs.calibrate } : {};
  return { ...task, ...calibrate, text: inputs.isGenerated ? inputs.calibrate : undefined };
}

/** Returns a copy of the input model whose metadata records the preprocessing of the data. */
function copyInput({ input, record = new Map() }: StepRequest): Model {
  const model = input.model.clone();
  for (const [key, value] of record) model.header.metadata.set(key, value);
  return model;
}

async function judgeModel(step: OpenStep, result: Model): Promise<Judgement> {
  const { input, comparison, force = false, targets = [], output, context } = step;
  if (comparison !== undefined) context.stage("evaluate");
  const compared = await comparison?.compare(result);
  const goalCheck = compared && checkGoal(compared, comparison?.goal, input.path);
  const goalLoss =
    goalCheck === undefined || goalCheck.verdict.met
      ? goalCheck?.lostKnowledge
      : `${goalCheck.prefix}${lossText(goalCheck.comparison, goalCheck.verdict, goalCheck.goal, sampleCounts(step, compared))}`;
  const functionCheck = await checkFunction(step, result, compared);
  const verdict = await judgeResult(
    { comparison: compared?.comparison, missed: goalLoss, kept: functionCheck },
    force,
    () => {
      const { engine, seed } = context;
      const checked = { samples: testOf(step), output, seed };
      return reportTargets(engine, targets, withOutputsOf(input.model, result), result, checked, context);
    },
  );
  return { compared, goalCheck, kept: functionCheck, ...verdict };
}

async function checkFunction(
  step: OpenStep,
  result: Model,
  compared: Compared | undefined,
): Promise<KeptFunction | undefined> {
  const { output, force = false, judgedTogether, pass, input, context } = step;
  if (pass.beginsAnew || judgedTogether === true) {
    await requireLoads(context.engine, result, input.model);
    return undefined;
  }
  const test = testOf(step);
  const trained: Training = trains(pass) ? "labels" : "none";
  if (trained === "none" || test === undefined) context.stage("compare");
  try {
    const functionCheck = await checkFunctionAndLoading(context, input.model, result, {
      test,
      comparison: compared?.comparison,
      trained,
      output,
      forced: force,
    });
    const { likeness } = functionCheck;
    if (typeof likeness === "object" && likeness.lost === undefined && isWeak(likeness))
      context.log({ id: "dissimilar", text: formatDissimilarity(likeness, test), level: "warning" });
    return functionCheck;
  } catch (error) {
    if (!(error instanceof PithError) || error.code === "E_STOPPED" || error instanceof ResultFails) throw error;
    const hint = "The result could not be compared with the original, and was not written: `force` writes it.";
    throw error.reworded({ hint: error.hint ?? hint });
  }
}

const isWeak = ({ unmoved, same, signalToNoise }: Likeness): boolean =>
  unmoved === undefined && (same === undefined ? signalToNoise < minDecibels : same < minSame);

function formatDissimilarity({ output, same }: Likeness, test: Dataset | undefined): string {
  const outputName = output === undefined ? "" : ` "${output}"`;
  const difference =
    same === undefined
      ? "the error is more than a tenth of the variance"
      : "fewer than half of the elements equal those";
  const advice =
    test === undefined || test.synthetic !== undefined ? ": measure the result on your own samples (`data`)" : "";
  return `on ${inputsPhrase(test)} ${difference} of the original's output${outputName}${advice}`;
}

/** Returns the number of available samples, and if interim looks used only a part of the test samples, the number of these (`of`). */
function sampleCounts(
  { task }: OpenStep,
  compared: Compared | undefined,
): { readonly available?: number; readonly of?: number } {
  const [used, count, available] = [compared?.answers.given.length, task?.test.count, task?.available];
  return {
    ...(available === undefined ? {} : { available }),
    ...(used === undefined || count === undefined || used >= count ? {} : { of: count }),
  };
}

interface FallbackResult {
  readonly output: StepOutput;
  readonly fallback: PrecisionFallback;
  readonly judgement: Judgement;
  readonly searched: number | undefined;
}

/**
 * Runs the precision fallback: searches options that lose less, and evaluates the result on samples that the search did not use.
 * @returns undefined if the fallback does not apply; a Miss if no options meet the goal.
 */
async function keepWithFallback(
  step: OpenStep,
  requestedOutput: StepOutput,
  requestedJudgement: Judgement,
): Promise<FallbackResult | Miss | undefined> {
  const { lost, goalCheck } = requestedJudgement;
  const { pass, task, force, fallback, condition, context } = step;
  if (force || !fallback || pass.milderForms === undefined) return undefined;
  const isMissed = goalCheck !== undefined && needsFallback(goalCheck.verdict, goalCheck.goal);
  if (condition === undefined && (lost !== undefined || !isMissed)) {
    if (lost === undefined) return undefined;
    const isLossOnSamples = lost.because === "goal" || lost.because === "broken";
    const isLossOfFunction = lost.because === "function" || lost.because === "form";
    if (task === undefined ? !isLossOfFunction : !isLossOnSamples) return undefined;
    // If only a strict goal rejects the result, more samples can help, and higher precision is not needed.
    if (goalCheck !== undefined && isUnshown(goalCheck)) return undefined;
  }
  const cause =
    condition !== undefined
      ? "the models of the folder lose too much together"
      : isMissed
        ? formatDrop(goalCheck)
        : lost?.text;
  context.log({ id: "fallback", text: `${cause}: looking for the layers with the largest error` });
  context.stage("precision fallback");
  const { separateSearch, request, quietContext } = await openSearch(step);
  if (separateSearch instanceof Miss) return separateSearch;
  const search = (await condition?.(request.search, quietContext)) ?? request.search;
  const searchContext = { ...quietContext, log: context.log, progress: context.progress };
  const evaluated = evaluatedCount(step, requestedJudgement);
  const excess = condition === undefined ? excessOfJudgement(requestedJudgement) : undefined;
  const fallbackOutput = await findFallback({ ...request, search, requestedOutput, evaluated, excess }, searchContext);
  if (fallbackOutput instanceof Miss) {
    // The model is rejected although it passes alone, because it fails together with other models.
    if (condition !== undefined) throw new PithError("E_ACCURACY_LOST", `${capitalize(fallbackOutput.reason)}.`);
    return fallbackOutput;
  }
  const { output } = fallbackOutput;
  const judgement = await judgeModel(compareOnOtherSamples(step, separateSearch), output.model);
  // A requested result that can be kept is not replaced by one that cannot.
  if (lost === undefined && judgement.lost !== undefined) return new Miss(`on other samples ${judgement.lost.text}`);
  return { output, fallback: fallbackOutput.fallback, judgement, searched: separateSearch?.searched };
}

function excessOfJudgement({ goalCheck, kept }: Judgement): number | undefined {
  if (goalCheck !== undefined) return excessOf(goalCheck.comparison, goalCheck.goal);
  return typeof kept?.likeness === "object" ? excessOfNoise(kept.likeness) : undefined;
}

/**
 * Chooses options so that the result has at most the requested size. The returned step evaluates its result on samples that this choice did not use.
 */
async function chooseOptionsForLimit(
  step: OpenStep,
): Promise<{ readonly step: OpenStep; readonly options: OptionValues; readonly searched: number | undefined }> {
  const { limit, options, context } = step;
  if (limit === undefined) return { step, options, searched: undefined };
  context.stage("choose bits");
  const { separateSearch, request, quietContext } = await openSearch(step);
  const withProgress = { ...quietContext, progress: context.progress };
  const { samples } = request.search;
  const output =
    limit.of === "download"
      ? await fitToDownload(request, limit.bytes, withProgress)
      : await fitToBytes({ ...request, samples }, limit.bytes, withProgress);
  const otherSamples = separateSearch instanceof Miss ? undefined : separateSearch;
  // The precision fallback is off, because layers at higher precision would exceed the limit.
  return {
    step: compareOnOtherSamples({ ...step, fallback: false }, otherSamples),
    options: output.options,
    searched: otherSamples?.searched,
  };
}

const compareOnOtherSamples = (step: OpenStep, separateSearch: SeparateSearch | undefined): OpenStep =>
  separateSearch === undefined || step.comparison === undefined
    ? step
    : { ...step, comparison: { ...step.comparison, compare: (model) => separateSearch.compare(model) } };

interface Search {
  /**
   * Split of the samples between the search and the evaluation. Undefined without data or goal, a Miss if there are too few samples; in both cases
   * the search uses random inputs.
   */
  readonly separateSearch: SeparateSearch | Miss | undefined;
  readonly request: Omit<FallbackRequest, "requestedOutput">;
  readonly quietContext: Context;
}

async function openSearch(step: OpenStep): Promise<Search> {
  const { pass, options, input, task, comparison, batch, output, context } = step;
  // The first run logged the step's messages, and the search reports progress per attempt.
  const quietContext: Context = { ...context, log: () => {}, progress: () => {} };
  const goal = comparison?.goal;
  const otherSamples =
    task === undefined || goal === undefined
      ? undefined
      : await separateSearchSamples(input.model, task, { batch, output }, goal, quietContext);
  const search: FallbackJudge =
    otherSamples === undefined || otherSamples instanceof Miss
      ? searchWithoutData(input.model, step.inputs, output, quietContext)
      : otherSamples.search;
  const run = async (changedOptions: OptionValues, otherPass: AnyPass = pass): Promise<StepOutput> => {
    const model = copyInput(step);
    return {
      model,
      ...(await runStep(otherPass, model, changedOptions, samplesFor(step, changedOptions), quietContext)),
    };
  };
  return {
    separateSearch: otherSamples,
    request: { pass, options, original: input.model, run, search, output },
    quietContext,
  };
}

/** Returns "1.4 points lost, 1.0 points allowed". */
function formatDrop({ comparison: { unit }, verdict: { drop }, goal }: GoalCheck): string {
  if (!Number.isFinite(drop.value)) return `the metric is ${drop.value}`;
  return excessText(unit, drop.value, goal.maxDrop);
}

/** Returns whether only a strict goal rejects the result: the estimated drop meets the goal, but the whole interval does not. */
const isUnshown = ({ verdict: { met, drop }, goal }: GoalCheck): boolean => !met && isWithin(drop, goal);

const describeFallback = ({ settings, preciseLayers }: PrecisionFallback): string =>
  settings === undefined
    ? `this includes ${counted(preciseLayers.length, "layer")} at higher precision`
    : `this is with ${formatSettings(settings)}`;

async function findRejection(
  step: OpenStep,
  result: Model,
  judgement: Judgement,
  changes: readonly Change[],
  fallback: Miss | undefined,
): Promise<Rejection | undefined> {
  const { compared, goalCheck, lost } = judgement;
  if (lost === undefined) return undefined;
  const { because, text } = lost;
  const isLostByStrictness = because === "goal" && goalCheck !== undefined && isUnshown(goalCheck);
  const blamed =
    isLostByStrictness || step.force ? undefined : await blameLayer(step, result, judgement, changes, fallback);
  const isLostBefore =
    goalCheck !== undefined &&
    compared?.reference?.judges === true &&
    isWithin(judge(compared.comparison, goalCheck.goal).drop, goalCheck.goal);
  const isTrainable = hasFloatWeights(result, infer(result));
  return {
    because,
    text,
    tried: fallback?.reason,
    blamed,
    changes,
    isUnshown: isLostByStrictness,
    isLostBefore,
    isTrainable,
  };
}

/** Returns the changed layer with the largest error contribution; undefined if no single layer can be the cause. */
async function blameLayer(
  step: OpenStep,
  result: Model,
  judgement: Judgement,
  changes: readonly Change[],
  fallback: Miss | undefined,
): Promise<Blame | undefined> {
  const { pass, options, input, output, context } = step;
  const because = judgement.lost?.because;
  // Training changes all layers together. A failed target check already names its layer. A missing or reshaped output is not the error of a layer.
  if (trains(pass) || because === "target" || because === "overflow" || because === "form") return undefined;
  if (!namesAt(pass.options).includes("except")) return undefined;
  const changedLayers = new Set(changes.map(({ at }) => at));
  if (fallback instanceof FailedFallback && fallback.blamed !== undefined)
    return restrictToChanged(fallback.blamed, changedLayers);
  const reference = await equalizedReference(pass, input.model, changes, async (equalizingPass) => {
    const model = input.model.clone();
    await runStep(equalizingPass, model, options, samplesFor(step, options), { ...context, log: () => {} });
    return model;
  });
  const { engine, seed, signal, progress } = context;
  context.stage("layer errors");
  const limits = { output, seed, signal, progress, evaluated: evaluatedCount(step, judgement) };
  const errors = await findLayerToBlame(engine, reference, result, testOf(step), limits);
  return errors && restrictToChanged(errors, changedLayers);
}

/** Returns the number of samples on which both models ran for the judgement. */
function evaluatedCount(step: OpenStep, { compared, kept }: Judgement): number {
  const { samples = 0, countsPositions } = typeof kept?.likeness === "object" ? kept.likeness : {};
  return compared?.answers.given.length ?? (countsPositions === true ? testOf(step)?.count : undefined) ?? samples;
}

function warnOfLoss(step: OpenStep, { compared, goalCheck }: Judgement): void {
  const { pass, input, options, context } = step;
  const warn = (id: string, text: string): void => context.log({ id, text, level: "warning" });
  const advice = lessLossyAdvice(pass, options);
  const lossSentence =
    goalCheck?.verdict.met === true ? lossWarning(goalCheck.comparison, goalCheck.verdict, goalCheck.goal) : undefined;
  if (lossSentence !== undefined) warn("worse", `${goalCheck?.prefix}${lossSentence}.${advice}`);
  const reference = compared?.reference;
  const noGainSentence = reference && noGainText(input.path, compared.comparison);
  if (noGainSentence !== undefined && (lossSentence === undefined || reference?.judges === true))
    warn("gain", noGainSentence);
  // A large drop is allowed if a training will follow. A model at chance level, which has lost everything, still gets a warning.
  const lostSentence = allowsLargeDrop(step) && !pass.beginsAnew ? compared?.lostKnowledge : undefined;
  if (lostSentence !== undefined) warn("lost", `${lostSentence}.${advice}`);
}
