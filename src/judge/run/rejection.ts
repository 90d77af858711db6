import { capitalize, groupBy, PithError } from "#ir";
import { bytes, counted, integer } from "../../core/numbers.ts";
import type { Run, Variant } from "../record/data.ts";
import { lossText } from "../record/verdict.ts";
import { whyUnchanged } from "./attempt.ts";

/**
 * Returns the error of a run that kept no result: E_ACCURACY_LOST if accuracy was lost; E_UNSUPPORTED if nothing changed, nothing became smaller, or
 * no result reached a target.
 */
export function errorOfRun(run: Run): PithError {
  const [onlyVariant, ...more] = run.variants;
  const hint = "Edit the recipe, train longer, or force it.";
  const accuracyLost = (text: string): PithError => new PithError("E_ACCURACY_LOST", `${capitalize(text)}.`, { hint });
  if (onlyVariant === undefined) return new PithError("E_OPTION", "There was nothing to try.");
  const failedChoice = run.missed === undefined ? undefined : run.variants[run.missed];
  if (failedChoice !== undefined) return accuracyLost(missedText(failedChoice, run));
  const offTargetError = offTarget(run);
  if (offTargetError !== undefined) return offTargetError;
  if (more.length > 0) return nothingToDo(run) ?? nothingSmaller(run) ?? accuracyLost("No candidate meets the goal");
  const { rejected, rejectedAs, comparison, verdict } = onlyVariant;
  if (rejected !== undefined)
    return rejectedAs === "lost" ? accuracyLost(rejected) : new PithError("E_UNSUPPORTED", `${capitalize(rejected)}.`);
  if (comparison === undefined || verdict === undefined || run.goal === undefined)
    return accuracyLost("Nothing was kept");
  return accuracyLost(lossText(comparison, verdict, run.goal, run.data));
}

/** Returns "int8 static was chosen on 333 validation samples; on the 667 test samples accuracy went from …". */
function missedText({ name, rejected, comparison, verdict }: Variant, { data, goal }: Run): string {
  const choiceText = `${name} was chosen on ${counted(data.validation ?? 0, "validation sample")}`;
  if (rejected !== undefined || comparison === undefined || verdict === undefined || goal === undefined)
    return `${choiceText}, and not kept: ${rejected ?? "its metric is not known"}`;
  const testCount = integer(comparison.difference.count);
  return `${choiceText}; on the ${testCount} test samples ${lossText(comparison, verdict, goal, data)}`;
}

function offTarget({ variants }: Run): PithError | undefined {
  const offTargetVariant = variants.find(({ rejectedAs }) => rejectedAs === "off target");
  const changedVariants = variants.filter(
    ({ rejectedAs }) => rejectedAs !== "off target" && rejectedAs !== "unchanged",
  );
  if (offTargetVariant === undefined || changedVariants.some(({ rejected }) => rejected === undefined))
    return undefined;
  const minBytes = Math.min(...variants.map(({ result }) => result?.bytes ?? Number.POSITIVE_INFINITY));
  const sentence = `No candidate is on target: ${offTargetVariant.rejected?.replace(/^it /, `${offTargetVariant.name} `)}; the smallest has ${bytes(minBytes)}.`;
  return new PithError("E_UNSUPPORTED", sentence, { hint: "Search longer (--minutes), or choose an easier target." });
}

function nothingSmaller({ variants }: Run): PithError | undefined {
  const isLarger = ({ rejectedAs }: Variant): boolean => rejectedAs === "not smaller" || rejectedAs === "no gain";
  const isUseless = (variant: Variant): boolean => isLarger(variant) || variant.rejectedAs === "unchanged";
  if (!variants.every(isUseless) || !variants.some(isLarger)) return undefined;
  return new PithError("E_UNSUPPORTED", "No candidate is smaller than the original.");
}

function nothingToDo({ variants }: Run): PithError | undefined {
  const isIdle = variants.every(({ rejectedAs }) => rejectedAs === "unchanged" || rejectedAs === "failed");
  if (!isIdle || variants.every(({ rejectedAs }) => rejectedAs === "failed")) return undefined;
  const reasonOf = ({ rejected, rejectedAs, steps }: Variant): string =>
    (rejectedAs === "failed" ? rejected : whyUnchanged(steps)) ?? "nothing changed";
  const reasons = Array.from(
    groupBy(variants, reasonOf),
    ([reason, group]) => `${group.map(({ name }) => name).join(", ")}: ${reason}`,
  );
  return new PithError("E_UNSUPPORTED", `There was nothing to do (${reasons.join("; ")}).`);
}
