/** States why the result of a step, or every result of a run, is rejected. */
import { hasFloatWeights, infer } from "#analysis";
import {
  bytes,
  capitalize,
  counted,
  groupBy,
  integer,
  type Model,
  optionError,
  PithError,
  unsupportedError,
} from "#ir";
import { type Change, equalizedReference, namesAt } from "#pass";
import { type Blame, restrictToChanged } from "../../runtime/noise/layer-errors.ts";
import { isWithin, judge } from "../compare/goal.ts";
import { findLayerToBlame } from "../fallback/layer-table.ts";
import { FailedFallback } from "../fallback/precision-fallback.ts";
import type { RejectionCause } from "../measure/rejection-cause.ts";
import type { Run, Variant } from "../record/run-record.ts";
import { lossText } from "../record/verdict.ts";
import { changeStep, isTraining } from "../steps/step-options.ts";
import { whyUnchanged } from "./attempt.ts";
import {
  type CandidateRequest,
  describeFallback,
  evaluatedCount,
  type FinishedStep,
  type Judgement,
} from "./candidate.ts";
import type { GoalCheck } from "./step-comparison.ts";
import type { StepRequest } from "./step-request.ts";

export interface JudgedStep {
  readonly request: StepRequest;
  readonly candidate: CandidateRequest;
  readonly finishedStep: FinishedStep;
  readonly judgement: Judgement;
  readonly result: Model;
}

export interface Rejection {
  readonly because: RejectionCause["because"];
  readonly text: string;
  /** Result of the precision fallback, as the end of a sentence. */
  readonly fallbackText: string | undefined;
  readonly blamed: Blame | undefined;
  readonly changes: readonly Change[];
  readonly isStrictMiss: boolean;
  /** Whether the result misses the goal relative to the reference, but meets it relative to the input model. */
  readonly isLostByEarlierSteps: boolean;
  readonly isTrainable: boolean;
}

/** The estimated drop meets the goal, but the whole interval does not. */
const isStrictMiss = ({ verdict: { met, drop }, goal }: GoalCheck): boolean => !met && isWithin(drop, goal);

export async function findRejection(judgedStep: JudgedStep): Promise<Rejection | undefined> {
  const { request, finishedStep, judgement, result } = judgedStep;
  const { metricComparison, goalCheck, rejectionCause } = judgement;
  if (rejectionCause === undefined) return undefined;
  const { because, text } = rejectionCause;
  const isLostByStrictness = because === "goal" && goalCheck !== undefined && isStrictMiss(goalCheck);
  const isLostBefore =
    goalCheck !== undefined &&
    metricComparison?.reference?.isGoalBaseline === true &&
    isWithin(judge(metricComparison.comparison, goalCheck.goal).drop, goalCheck.goal);
  return {
    because,
    text,
    fallbackText:
      finishedStep.fallback === undefined
        ? finishedStep.failedFallback?.reason
        : `this is ${describeFallback(finishedStep.fallback)}`,
    blamed: isLostByStrictness || request.force ? undefined : await blameLayer(judgedStep),
    changes: finishedStep.result.changes,
    isStrictMiss: isLostByStrictness,
    isLostByEarlierSteps: isLostBefore,
    isTrainable: hasFloatWeights(result, infer(result)),
  };
}

/** Returns undefined if no single layer can be the cause. */
async function blameLayer({
  request,
  candidate,
  finishedStep,
  judgement,
  result,
}: JudgedStep): Promise<Blame | undefined> {
  const { pass, input, output } = request;
  const { runner, store, context, test } = candidate;
  const { changes } = finishedStep.result;
  const because = judgement.rejectionCause?.because;
  // Training changes all layers together. A failed target check already names its layer. A missing or reshaped output is not the error of a layer.
  if (isTraining(pass) || because === "target" || because === "overflow" || because === "form") return undefined;
  if (!namesAt(pass.options).includes("except")) return undefined;
  const changedLayers = new Set(changes.map(({ at }) => at));
  const { failedFallback } = finishedStep;
  if (failedFallback instanceof FailedFallback && failedFallback.blamed !== undefined)
    return restrictToChanged(failedFallback.blamed, changedLayers);
  const reference = await equalizedReference(pass, input.model, changes, async (equalizingPass) => {
    const equalizingStep = changeStep(request, request.options, equalizingPass);
    return (await runner.attempt(equalizingStep, store.original, { log: () => {} })).model;
  });
  const { engine, seed, signal, progress } = context;
  context.stage("layer errors");
  const limits = { output, seed, signal, progress, evaluated: evaluatedCount(judgement, test) };
  const errors = await findLayerToBlame(engine, reference, result, test, limits);
  return errors && restrictToChanged(errors, changedLayers);
}

export function errorOfRun(run: Run): PithError {
  const [onlyVariant, ...more] = run.variants;
  const hint = "Edit the recipe, train longer, or force it.";
  const accuracyLost = (text: string): PithError => new PithError("E_ACCURACY_LOST", `${capitalize(text)}.`, { hint });
  if (onlyVariant === undefined) return optionError("There was nothing to try.");
  const failedChoice = run.missed === undefined ? undefined : run.variants[run.missed];
  if (failedChoice !== undefined) return accuracyLost(goalMissText(failedChoice, run));
  const targetError = offTargetError(run);
  if (targetError !== undefined) return targetError;
  if (more.length > 0)
    return nothingToDoError(run) ?? noSmallerError(run) ?? accuracyLost("No candidate meets the goal");
  const { rejected, rejectedAs, comparison, verdict } = onlyVariant;
  if (rejected !== undefined)
    return rejectedAs === "lost" ? accuracyLost(rejected) : unsupportedError(`${capitalize(rejected)}.`);
  if (comparison === undefined || verdict === undefined || run.goal === undefined)
    return accuracyLost("Nothing was kept");
  return accuracyLost(lossText(comparison, verdict, run.goal, run.data));
}

/** Returns "int8 static was chosen on 333 validation samples; on the 667 test samples accuracy went from …". */
function goalMissText({ name, rejected, comparison, verdict }: Variant, { data, goal }: Run): string {
  const choiceText = `${name} was chosen on ${counted(data.validation ?? 0, "validation sample")}`;
  if (rejected !== undefined || comparison === undefined || verdict === undefined || goal === undefined)
    return `${choiceText}, and not kept: ${rejected ?? "its metric is not known"}`;
  const testCount = integer(comparison.difference.count);
  return `${choiceText}; on the ${testCount} test samples ${lossText(comparison, verdict, goal, data)}`;
}

function offTargetError({ variants }: Run): PithError | undefined {
  const offTargetVariant = variants.find(({ rejectedAs }) => rejectedAs === "off target");
  const changedVariants = variants.filter(
    ({ rejectedAs }) => rejectedAs !== "off target" && rejectedAs !== "unchanged",
  );
  if (offTargetVariant === undefined || changedVariants.some(({ rejected }) => rejected === undefined))
    return undefined;
  const minBytes = Math.min(...variants.map(({ result }) => result?.bytes ?? Number.POSITIVE_INFINITY));
  const sentence = `No candidate is on target: ${offTargetVariant.rejected?.replace(/^it /, `${offTargetVariant.name} `)}; the smallest has ${bytes(minBytes)}.`;
  return unsupportedError(sentence, { hint: "Search longer (`minutes`), or choose an easier target." });
}

function noSmallerError({ variants }: Run): PithError | undefined {
  const isLarger = ({ rejectedAs }: Variant): boolean => rejectedAs === "not smaller" || rejectedAs === "no gain";
  const isUseless = (variant: Variant): boolean => isLarger(variant) || variant.rejectedAs === "unchanged";
  if (!variants.every(isUseless) || !variants.some(isLarger)) return undefined;
  return unsupportedError("No candidate is smaller than the original.");
}

function nothingToDoError({ variants }: Run): PithError | undefined {
  const isIdle = variants.every(({ rejectedAs }) => rejectedAs === "unchanged" || rejectedAs === "failed");
  if (!isIdle || variants.every(({ rejectedAs }) => rejectedAs === "failed")) return undefined;
  const reasonOf = ({ rejected, rejectedAs, steps }: Variant): string =>
    (rejectedAs === "failed" ? rejected : whyUnchanged(steps)) ?? "nothing changed";
  const reasons = Array.from(
    groupBy(variants, reasonOf),
    ([reason, group]) => `${group.map(({ name }) => name).join(", ")}: ${reason}`,
  );
  return unsupportedError(`There was nothing to do (${reasons.join("; ")}).`);
}
