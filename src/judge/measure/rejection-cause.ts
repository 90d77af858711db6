/** Judges the result of a step: returns why it is rejected. */
import type { Context } from "#pass";
import { type Comparison, defaultDrop, type Goal, judge } from "../compare/goal.ts";
import type { TargetCheck } from "../compare/target-check.ts";
import { brokenText, onTargetText, wrongTargetText } from "../record/verdict.ts";
import type { FunctionCheck, FunctionLoss } from "./function-check.ts";
import type { HoldoutComparison } from "./holdout.ts";

export interface RejectionCause {
  readonly text: string;
  /** "broken": the metric is NaN or infinite; "goal": it is missed; "target": wrong outputs on a target runtime; others: see `FunctionLoss`. */
  readonly because: "broken" | "goal" | "target" | FunctionLoss["because"];
}

/** A small drop can hide a lost rare class. A goal beyond the default drop permits it. */
export function findLostKnowledge(
  { comparison, lostKnowledge }: Pick<HoldoutComparison, "comparison" | "lostKnowledge">,
  goal: Goal | undefined,
): string | undefined {
  const isPermitted = goal === undefined || goal.maxDrop > defaultDrop(comparison, comparison.original.value);
  return isPermitted || !judge(comparison, goal).met ? undefined : lostKnowledge;
}

/** @param checkOnTargets is called if nothing else rejects the result, or with `isForced`. */
export async function judgeResult(
  result: {
    readonly comparison: Comparison | undefined;
    readonly goalMiss: string | undefined;
    readonly functionCheck: FunctionCheck | undefined;
  },
  isForced: boolean,
  checkOnTargets: () => Promise<readonly TargetCheck[]>,
): Promise<{ readonly rejectionCause: RejectionCause | undefined; readonly targets: readonly TargetCheck[] }> {
  const { comparison, goalMiss, functionCheck } = result;
  const brokenSentence = comparison === undefined ? undefined : brokenText(comparison);
  const lostFunction = functionCheck?.functionLoss;
  const goalSentence = goalMiss && lostFunction ? `${goalMiss}; ${lostFunction.text}` : goalMiss;
  const rejectionCause =
    (lostFunction?.because === "form" ? lostFunction : undefined) ??
    rejectionCauseOf(brokenSentence, "broken") ??
    rejectionCauseOf(goalSentence, "goal") ??
    lostFunction;
  const targets = rejectionCause === undefined || isForced ? await checkOnTargets() : [];
  return { rejectionCause: rejectionCause ?? rejectionCauseOf(wrongTargetText(targets), "target"), targets };
}

const rejectionCauseOf = (text: string | undefined, because: RejectionCause["because"]): RejectionCause | undefined =>
  text === undefined ? undefined : { text, because };

export function warnOfTargets(checks: readonly TargetCheck[], { log }: Pick<Context, "log">): void {
  for (const check of checks) {
    if (check.right === undefined || check.isWeak === true)
      log({ id: "target", text: `${check.target}: ${onTargetText(check)}`, level: "warning" });
  }
}
