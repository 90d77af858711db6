/** Why a result is refused: asked in one order, of commands and of recipes. */
import type { Comparison } from "../evaluate/index.ts";
import type { OnTarget } from "../evaluate/right-on.ts";
import { brokenText, wrongText } from "../report/verdict.ts";
import type { KeptFunction, LostFunction } from "./kept-function.ts";

export interface Lost {
  readonly text: string;
  /** Its metric is not a number; it misses the goal; it is wrong on a target; or as `LostFunction` says. */
  readonly because: "broken" | "goal" | "target" | LostFunction["because"];
}

/** What was found of a result. */
export interface Findings {
  readonly comparison: Comparison | undefined;
  readonly missed?: string | undefined;
  readonly kept: KeptFunction | undefined;
}

/** @param onTargets is called only for what is not lost already, unless `forced`. */
export async function judgeResult(
  { comparison, missed, kept }: Findings,
  forced: boolean,
  onTargets: () => Promise<readonly OnTarget[]>,
): Promise<{ readonly lost: Lost | undefined; readonly targets: readonly OnTarget[] }> {
  const broken = comparison === undefined ? undefined : brokenText(comparison);
  const other = kept?.lost;
  const both = missed === undefined || other === undefined ? missed : `${missed}; ${other.text}`;
  const lost =
    (other?.because === "form" ? other : undefined) ?? lostBy(broken, "broken") ?? lostBy(both, "goal") ?? other;
  const targets = lost === undefined || forced ? await onTargets() : [];
  return { lost: lost ?? lostBy(wrongText(targets), "target"), targets };
}

function lostBy(text: string | undefined, because: Lost["because"]): Lost | undefined {
  return text === undefined ? undefined : { text, because };
}
