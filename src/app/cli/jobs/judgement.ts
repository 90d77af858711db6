/** Compares a command's result with its input model and decides whether to write it, warn, or fail. */
import { infer } from "../../../core/analysis/infer.ts";
import { hasFloatWeights } from "../../../core/analysis/weight.ts";
import { capitalize, PithError } from "../../../core/errors.ts";
import type { Model } from "../../../core/graph/model.ts";
import { type Change, equalizedReference } from "../../../core/pass/pass.ts";
import { type Comparison, type Goal, isWithin, judge, type Verdict } from "../../../judge/compare/compare.ts";
import { type Likeness, minSame } from "../../../judge/compare/compare-function.ts";
import type { OnTarget } from "../../../judge/compare/target-check.ts";
import { lossText, lossWarning, noGainText } from "../../../judge/record/verdict.ts";
import { judgeResult, type Lost } from "../../../judge/run/judgement.ts";
import { type KeptFunction, keptAndLoads, type Training, withOutputsOf } from "../../../judge/run/kept-function.ts";
import { runStep, trains } from "../../../judge/steps/step.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { lostKnowledge } from "../../../runtime/metrics/predictions.ts";
import { blameAmong, blameText, layerToBlame } from "../../../runtime/noise/layer-errors.ts";
import { fewDecibels } from "../../../runtime/noise/layers.ts";
import { ResultFails, requireLoads } from "../../../runtime/run/load-check.ts";
import type { RunTarget } from "../../../runtime/run/run-target.ts";
import { keysOf } from "../flags/options.ts";
import { gentlerAdvice, lostAdvice } from "./advice.ts";
import { type Compared, mayLose } from "./judging.ts";
import type { OpenStep } from "./pass.ts";
import { onTargets } from "./target.ts";
import type { SampleUse } from "./task.ts";
import { refusingUnloadable } from "./unloadable.ts";

export interface Judgement {
  readonly compared: Compared | undefined;
  readonly judged: Judged | undefined;
  /** Undefined if weights were discarded on purpose. */
  readonly kept: KeptFunction | undefined;
  readonly lost: Lost | undefined;
  readonly targets: readonly OnTarget[];
}

interface Judged {
  readonly comparison: Comparison;
  readonly goal: Goal;
  readonly verdict: Verdict;
  readonly against: string;
  /** The same path for the start of a sentence, if there is a reference too. */
  readonly beside: string;
}

export async function judgeStep(
  step: OpenStep,
  result: Model,
  targets: readonly RunTarget[],
  context: JobContext,
): Promise<Judgement> {
  const { input, original, data, judging, running } = step;
  if (judging !== undefined) context.stage("evaluate");
  const compared = await judging?.compare(result);
  const judged = compared && judgedIn(compared, judging?.goal, input.model);
  const missed =
    judged === undefined || judged.verdict.met
      ? undefined
      : `${judged.beside}${lossText(judged.comparison, judged.verdict, judged.goal, data && testedOn(data.samples, compared).test)}`;
  const kept = await refusingUnloadable(() => functionOf(step, result, compared, context));
  const findings = { comparison: compared?.comparison, missed, kept };
  const settled = await judgeResult(findings, input.force, () =>
    onTargets(
      running.engine,
      targets,
      withOutputsOf(original, result),
      result,
      { ...input, samples: data?.task.test },
      context,
    ),
  );
  return { compared, judged, kept, ...settled };
}

function judgedIn({ comparison: own, reference }: Compared, goal: Goal | undefined, model: string): Judged | undefined {
  if (goal === undefined) return undefined;
  const { comparison, model: against } = reference?.judges === true ? reference : { comparison: own, model };
  const beside = reference === undefined ? "" : `against ${against}, `;
  return { comparison, goal, verdict: judge(comparison, goal), against, beside };
}

/** Corrects the number of test samples after a comparison that ended early. @param searched number of other samples that chose the options. */
export function testedOn(used: SampleUse, compared: Compared | undefined, searched?: number): SampleUse {
  const looked = compared?.answers.given.length;
  const { count } = used.test;
  if (searched !== undefined && looked !== undefined)
    return { ...used, test: { ...used.test, count: looked, searched } };
  if (looked === undefined || count === undefined || looked >= count) return used;
  return { ...used, test: { ...used.test, count: looked, of: count } };
}

async function functionOf(
  { input: { output, force }, pass, original, like, data, running }: OpenStep,
  result: Model,
  compared: Compared | undefined,
  context: JobContext,
): Promise<KeptFunction | undefined> {
  if (pass.beginsAnew) {
    await requireLoads(running.engine, result, original);
    return undefined;
  }
  const test = data?.task.test;
  const trained: Training = trains(pass) ? "labels" : "none";
  if (trained === "none" || test === undefined) context.stage("compare");
  try {
    const answered = compared?.answers.given.length ?? 0;
    const kept = await keptAndLoads(running, like, result, { test, answered, trained, output, forced: force });
    const { likeness } = kept;
    const weak =
      typeof likeness === "object" &&
      likeness.unmoved === undefined &&
      (likeness.same === undefined ? likeness.signalToNoise < fewDecibels : likeness.same < minSame);
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

/** @throws PithError E_ACCURACY_LOST for a rejected result, without force. */
export async function requireKept(
  step: OpenStep,
  result: Model,
  { compared, judged, lost }: Judgement,
  changes: readonly Change[],
  spared?: string,
): Promise<void> {
  const { input, pass, data, running } = step;
  if (lost === undefined || input.force) return;
  const { because, text } = lost;
  const unshown = because === "goal" && judged !== undefined && isWithin(judged.verdict.drop, judged.goal);
  const { engine, seed, signal } = running;
  // Training changes all layers, a target check names the layer itself, and no layer's error explains a different output shape.
  const blames = !unshown && !trains(pass) && because !== "target" && because !== "overflow" && because !== "form";
  const errors =
    blames && keysOf(pass.options).has("except")
      ? await layerToBlame(engine, await unrounded(step, changes), result, data?.task.test, {
          output: input.output,
          seed,
          signal,
        })
      : undefined;
  const blamed = errors && blameAmong(errors, new Set(changes.map(({ at }) => at)));
  const first = blamed === undefined ? "" : ` ${blameText(blamed)}.`;
  const tried = spared === undefined ? "" : ` ${capitalize(spared)}.`;
  const lostBefore =
    judged !== undefined &&
    compared?.reference?.judges === true &&
    isWithin(judge(compared.comparison, judged.goal).drop, judged.goal);
  const assumesScores = data?.task.assumesScores;
  const trainable = hasFloatWeights(result, infer(result));
  throw new PithError("E_ACCURACY_LOST", `${capitalize(text)}.${first}${tried} Nothing was written.`, {
    hint: lostAdvice(pass, input, { unshown, blamed, changes, because, lostBefore, trainable, assumesScores }),
  });
}

const unrounded = ({ pass, input, original, like, data, running }: OpenStep, changes: readonly Change[]) =>
  equalizedReference(pass, like, changes, async (by) => {
    const model = original.clone();
    await runStep(by, model, data?.options ?? input.options, data?.task ?? {}, { ...running, log: () => {} });
    return model;
  });

export function warnOfLoss(
  { input, pass, judging }: OpenStep,
  { compared, judged }: Judgement,
  { log }: Pick<JobContext, "log">,
): void {
  const warn = (id: string, text: string): void => log({ id, text, level: "warning" });
  const worse = judged?.verdict.met ? lossWarning(judged.comparison, judged.verdict, judged.goal) : undefined;
  if (worse !== undefined) warn("worse", `${judged?.beside}${worse}.${gentlerAdvice(pass, input)}`);
  const reference = compared?.reference;
  const useless = reference && noGainText(input.model, compared.comparison);
  if (useless !== undefined && (worse === undefined || reference?.judges === true)) warn("gain", useless);
  // Pruning before a training may lose accuracy, but not all of it.
  const knowledge = mayLose(pass, input) && !pass.beginsAnew ? judging?.judge.holdout.knowledge : undefined;
  const ruined = knowledge && compared && lostKnowledge(knowledge, compared.answers);
  if (ruined !== undefined) warn("lost", `${ruined}.${gentlerAdvice(pass, input)}`);
}
