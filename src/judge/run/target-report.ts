import type { Context } from "#pass";
import type { OnTarget } from "../compare/target-check.ts";
import { onTargetText } from "../record/verdict.ts";

/** Warns of each target on which the outputs are less accurate than on the native runtime, or could not be checked. */
export function warnOfTargets(checks: readonly OnTarget[], { log }: Pick<Context, "log">): void {
  for (const check of checks) {
    if (check.right === undefined || check.isWeak === true)
      log({ id: "target", text: `${check.target}: ${onTargetText(check)}`, level: "warning" });
  }
}
