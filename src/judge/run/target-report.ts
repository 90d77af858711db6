import type { Model } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import type { RunTarget } from "../../runtime/run/run-target.ts";
import { checkTargets, type OnTarget, type TargetCheckOptions } from "../compare/target-check.ts";
import { onTargetText } from "../record/verdict.ts";
import type { StepContext } from "./step-request.ts";

/**
 * Checks a result on its target runtimes. Warns of each target on which the outputs are less accurate than on the native runtime, or could not be
 * checked.
 */
export async function reportTargets(
  engine: Engine,
  targets: readonly RunTarget[],
  original: Model,
  result: Model,
  { samples, output, seed }: Omit<TargetCheckOptions, "signal">,
  { stage, log, signal }: Pick<StepContext, "stage" | "log" | "signal">,
): Promise<readonly OnTarget[]> {
  if (targets.length === 0) return [];
  stage("targets");
  const checks = await checkTargets(engine, targets, original, result, { samples, output, seed, signal });
  for (const check of checks) {
    if (check.right === undefined || check.isWeak === true)
      log({ id: "target", text: `${check.target}: ${onTargetText(check)}`, level: "warning" });
  }
  return checks;
}
