import type { Engine } from "../../core/engine/engine.ts";
import type { Model } from "../../core/graph/model.ts";
import type { RunTarget } from "../../runtime/run/run-target.ts";
import { checkTargets, type OnTarget, type TargetCheckOptions } from "../compare/target-check.ts";
import { onTargetText } from "../record/verdict.ts";
import type { StepContext } from "./step-request.ts";

/**
 * Compares a result on its target runtimes with the original. Warns of each target on which the outputs are less accurate than natively, or could not
 * be checked.
 */
export async function reportTargets(
  engine: Engine,
  targets: readonly RunTarget[],
  original: Model,
  result: Model,
  { samples, output, seed }: Pick<TargetCheckOptions, "samples" | "output" | "seed">,
  { stage, log, signal }: Pick<StepContext, "stage" | "log" | "signal">,
): Promise<readonly OnTarget[]> {
  if (targets.length === 0) return [];
  stage("targets");
  const answers = await checkTargets(engine, targets, original, result, { samples, output, seed, signal });
  for (const answer of answers) {
    if (answer.right === undefined || answer.isWeak === true)
      log({ id: "target", text: `${answer.target}: ${onTargetText(answer)}`, level: "warning" });
  }
  return answers;
}
