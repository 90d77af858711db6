/** Runs a candidate of one step for a command such as `pith quantize`, and decides whether its result can be kept. */
import { keptChannelsKey } from "#analysis";
import type { Dataset } from "#batches";
import { figureText, type Model } from "#ir";
import { minDecibels } from "../../runtime/noise/layer-differences.ts";
import { isPruned } from "../../techniques/prune/index.ts";
import { type Likeness, minEqualShare } from "../compare/compare-function.ts";
import type { Goal } from "../compare/goal.ts";
import { inputsPhraseOf } from "../compare/output-comparison.ts";
import type { PrecisionFallback } from "../fallback/precise-layers.ts";
import { whyNotSmaller } from "../measure/improvement.ts";
import { warnOfTargets } from "../measure/rejection-cause.ts";
import type { TestSampleCounts } from "../recipe/open-samples.ts";
import type { ComparedResult } from "../record/run-record.ts";
import { lossText, lossWarning, noGainText } from "../record/verdict.ts";
import { type StepResult, StepRunner } from "../steps/runner.ts";
import { type StepData, samplesOf } from "../steps/step.ts";
import { isTraining } from "../steps/step-options.ts";
import { memoryModelStore } from "../steps/store.ts";
import { type CandidateRequest, comparedResultOf, type MetricComparison, runCandidate } from "./candidate.ts";
import { findRejection, type JudgedStep, type Rejection } from "./rejection.ts";
import { allowsLargeDrop, comparerOf, openComparison, type Reference } from "./step-comparison.ts";
import type { StepContext, StepRequest } from "./step-request.ts";
import { lessLossyAdvice } from "./training-advice.ts";

export interface StepReport extends ComparedResult, Pick<StepResult, "changes" | "misses" | "training" | "history"> {
  readonly goal?: Goal | undefined;
  /** Path of the model that the verdict compares with. */
  readonly against?: string | undefined;
  /** Comparison with the original or teacher; undefined without one, or if it could not run. */
  readonly reference?: Reference | undefined;
  /** Sentence if a student that was cut from its teacher lost most of what the teacher knows. */
  readonly lostKnowledge?: string | undefined;
  /** Layers at higher precision, with the number of samples on which they were chosen. */
  readonly fallback?: (PrecisionFallback & Pick<TestSampleCounts, "searched">) | undefined;
  /** Present if the input model was pruned before this training, and the training has no reference. */
  readonly pruned?: true | undefined;
  /** Reason why nothing was gained. */
  readonly idle?: string | undefined;
}

export interface SingleStep extends StepReport, Pick<StepResult, "learnt"> {
  readonly result: Model | undefined;
  readonly invariance?: MetricComparison["invariance"];
  /** Undefined if no samples, or all test samples, were compared. */
  readonly tested: (TestSampleCounts & { readonly count: number }) | undefined;
  /** Undefined if the result can be kept, or was not judged. */
  readonly rejection: Rejection | undefined;
}

/**
 * @throws PithError E_DATA if the original is at chance level, E_ACCURACY_LOST if no result passes together with the other models of a folder, and
 * the errors of the pass.
 */
export async function runSingleStep(request: StepRequest, context: StepContext): Promise<SingleStep> {
  const { pass, input, task, output, dryRun = false, force = false, fallback = false } = request;
  const store = memoryModelStore(input.model, request.temporary);
  const comparison = task === undefined || dryRun ? undefined : await openComparison(request, task, context);
  const data = stepDataOf(request);
  let untrained: MetricComparison | undefined;
  const beforeTraining = async (model: Model): Promise<void> => {
    untrained = await comparison?.compare(model);
  };
  let noGain: string | undefined;
  const { maxBytes, maxDownload, condition, inputs, targets, judgedTogether } = request;
  const { options, complete, opened, split } = request;
  const parsedStep = { pass, options, complete, opened, split, id: pass.id, name: pass.id };
  const candidate: CandidateRequest = {
    store,
    context,
    output,
    force,
    condition,
    inputs,
    targets,
    judgedTogether,
    steps: [{ ...parsedStep, judged: true, fallsBack: fallback && !force, maxBytes, maxDownload }],
    originalName: input.path,
    runner: new StepRunner({ store, data }, { ...context, beforeTraining, phase: context.stage }),
    comparer: task && comparison && comparerOf(request, task, comparison, store),
    test: testOf(request),
    calibrate: data.calibrate,
    announce(chosenStep) {
      const samples = samplesOf(chosenStep, data);
      if (samples !== undefined && samples !== task?.calibrate && samples !== task?.train)
        context.log({ id: "calibration", text: `calibrated on ${samples.name}` });
    },
    async isJudged({ changes, output: result }) {
      if (changes.length === 0 || dryRun) return false;
      if (pass.makesSmaller === "file") noGain = await whyNotSmaller(input.model, await store.read(result));
      return noGain === undefined || force;
    },
    goalMissText({ prefix, comparison, verdict, goal, lostKnowledge }, { findings, searched }) {
      const samples = { available: task?.available, ...countTested(task, findings.metricComparison, searched) };
      return verdict.met ? lostKnowledge : `${prefix}${lossText(comparison, verdict, goal, samples)}`;
    },
  };
  const { finishedStep, judgement } = await runCandidate(candidate);
  if (finishedStep === undefined) throw new Error("The step did not run.");
  const { result: outcome, failedFallback, searched } = finishedStep;
  const result = outcome.changes.length === 0 ? undefined : await store.read(outcome.output);
  const tested = countTested(task, finishedStep.findings?.metricComparison, searched);
  const { changes, misses, training, history, learnt } = outcome;
  const single = {
    changes,
    misses,
    training,
    history,
    learnt,
    result,
    tested,
    goal: comparison?.goal,
    idle: noGain,
    fallback: finishedStep.fallback && { ...finishedStep.fallback, searched },
  };
  if (judgement === undefined || result === undefined)
    return { ...single, ...comparedResultOf({}), rejection: undefined };
  const judgedStep = { request, candidate, finishedStep, judgement, result };
  warnOfDissimilarity(judgedStep);
  warnOfTargets(judgement.targets, context);
  if (untrained !== undefined && judgement.metricComparison !== undefined) {
    const [before, after] = [untrained, judgement.metricComparison].map(({ comparison: { unit, candidate } }) =>
      figureText(unit, candidate.value),
    );
    const text = `the student before training: ${untrained.comparison.metric} ${before}, after it ${after}`;
    context.log({ id: "student", text });
  }
  const rejection = await findRejection(judgedStep);
  if (rejection === undefined || force) warnOfLoss(judgedStep);
  if (rejection === undefined && failedFallback !== undefined)
    context.log({
      id: "fallback",
      text: `no layers are kept at higher precision: ${failedFallback.reason}`,
      level: "warning",
    });
  const { metricComparison, goalCheck } = judgement;
  const hasReference = pass.reference !== undefined || metricComparison?.reference !== undefined;
  return {
    ...single,
    ...comparedResultOf(judgement),
    rejection,
    invariance: metricComparison?.invariance,
    against: goalCheck?.against,
    reference: metricComparison?.reference,
    lostKnowledge: allowsLargeDrop(request) && isTraining(pass) ? metricComparison?.lostKnowledge : undefined,
    pruned: isTraining(pass) && !hasReference && wasPruned(input.model) ? true : undefined,
  };
}

const wasPruned = (model: Model): boolean => model.header.metadata.has(keptChannelsKey) || isPruned(model);

/** Returns the samples on which models are compared; undefined for random inputs. */
const testOf = ({ task, inputs }: StepRequest): Dataset | undefined => task?.test ?? inputs?.test;

/** Texts serve options that need samples or improve a language model with them, unless the pass uses the data. */
function stepDataOf({ pass, opened, task, inputs }: StepRequest): StepData {
  if (inputs === undefined) return task ?? {};
  const isNeeded = task === undefined && typeof pass.data === "object" && pass.data.when(opened) !== undefined;
  const calibrate = isNeeded ? { calibrate: inputs.calibrate } : {};
  return { ...task, ...calibrate, text: inputs.isGenerated ? inputs.calibrate : undefined };
}

function warnOfDissimilarity({ candidate: { context, test }, judgement: { functionCheck } }: JudgedStep): void {
  const likeness = functionCheck?.likeness;
  if (typeof likeness === "object" && likeness.lost === undefined && isWeak(likeness))
    context.log({ id: "dissimilar", text: formatDissimilarity(likeness, test), level: "warning" });
}

const isWeak = ({ unmoved, same, signalToNoise }: Likeness): boolean =>
  unmoved === undefined && (same === undefined ? signalToNoise < minDecibels : same < minEqualShare);

function formatDissimilarity({ output, same }: Likeness, test: Dataset | undefined): string {
  const outputName = output === undefined ? "the output" : `output "${output}"`;
  const difference =
    same === undefined
      ? `${outputName} differs from the original's by more than 30 % (signal to noise below ${minDecibels} dB)`
      : `fewer than half of the elements of ${outputName} equal the original's`;
  const advice =
    test === undefined || test.synthetic !== undefined ? ": measure the result on your own samples (`data`)" : "";
  return `on ${inputsPhraseOf(test)} ${difference}${advice}`;
}

function countTested(
  task: StepRequest["task"],
  metricComparison: MetricComparison | undefined,
  searched: number | undefined,
): SingleStep["tested"] {
  if (task === undefined || metricComparison === undefined) return undefined;
  const { length: count } = metricComparison.answers.predicted;
  if (searched !== undefined) return { count, searched };
  return task.test.count === undefined || count >= task.test.count ? undefined : { count, of: task.test.count };
}

function warnOfLoss({ request, candidate: { context }, judgement: { metricComparison, goalCheck } }: JudgedStep): void {
  const { pass, input, options } = request;
  const warn = (id: string, text: string): void => context.log({ id, text, level: "warning" });
  const advice = lessLossyAdvice(pass, options);
  const lossSentence =
    goalCheck?.verdict.met === true ? lossWarning(goalCheck.comparison, goalCheck.verdict, goalCheck.goal) : undefined;
  if (lossSentence !== undefined) warn("worse", `${goalCheck?.prefix}${lossSentence}.${advice}`);
  const reference = metricComparison?.reference;
  const noGainSentence = reference && noGainText(input.path, metricComparison.comparison);
  if (noGainSentence !== undefined && (lossSentence === undefined || reference?.isGoalBaseline === true))
    warn("gain", noGainSentence);
  // A large drop is allowed if a training will follow. A model at chance level still gets a warning.
  if (allowsLargeDrop(request) && metricComparison?.lostKnowledge !== undefined)
    warn("lost", `${metricComparison.lostKnowledge}.${advice}`);
}
