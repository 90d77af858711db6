/** Formulates why a run kept its result, and what was smaller or faster but not kept. */
import { bytes, counted, integer, times } from "#ir";
import { isWithin } from "../../judge/compare/goal.ts";
import { minDividedSamples } from "../../judge/measure/holdout.ts";
import { minSamples } from "../../judge/recipe/open-samples.ts";
import type { Run, StepRecord } from "../../judge/record/run-record.ts";
import {
  accuracySentence,
  chosenOf,
  formatChange,
  gainSentence,
  goalSentence,
  outcomeOf,
  type RunOutcome,
  relativeWorkOf,
  searchMissSentence,
  speedupOf,
  storageSentence,
} from "../../judge/record/verdict.ts";
import { comparedSizeOf } from "./search-table.ts";

export interface Summary extends RunOutcome {
  readonly gain: string;
  readonly sentences: readonly string[];
}

/** Returns the outcome in one word, the gain ("7.87 × smaller and 2.15 × as fast (most runs: 2.05–2.21)."), and sentences. */
export function summarize(run: Run): Summary {
  return { ...outcomeOf(run), gain: gainSentence(run), sentences: verdictSentences(run) };
}

export function verdictSentences(run: Run): readonly string[] {
  if (run.rejected !== undefined) return [run.rejected.message];
  const sentences = [accuracySentence(run), goalSentence(run), choiceSentence(run), storageSentence(run)];
  return [...sentences, ...unchangedSentences(run)].filter((text) => text !== undefined);
}

const trainingStages = ["blocks", "end-to-end"];

/** Returns "prune changed nothing: fc1: 10 % of its 40 channels is less than half of a block of 8 channels." */
const unchangedSentences = (run: Run): readonly string[] =>
  (chosenOf(run)?.steps ?? []).flatMap(({ id, name, changes, misses }) => {
    const isUndone = ({ at = "" }: StepRecord["misses"][number]): boolean =>
      id === "recover" && trainingStages.includes(at);
    const shownMisses = changes.length > 0 ? misses.filter(isUndone) : misses.slice(0, 1);
    const title = changes.length > 0 ? name : `${name} changed nothing`;
    return shownMisses.map(({ at, reason }) => `${title}: ${at === undefined ? "" : `${at}: `}${reason}.`);
  });

export function choiceSentence(run: Run): string | undefined {
  const chosenVariant = chosenOf(run);
  if (chosenVariant === undefined) return undefined;
  const clause = choiceClause(run);
  const reason = clause === undefined ? undefined : `${chosenVariant.name} is ${clause}.${slowerText(run)}`;
  const sentences = [reason, samplesSentence(run), smallerButLostSentence(run), searchMissSentence(run)].filter(
    (text) => text !== undefined,
  );
  return sentences.length === 0 ? undefined : sentences.join(" ");
}

function samplesSentence(run: Run): string | undefined {
  const resultCount = run.variants.filter(({ result }) => result !== undefined).length;
  if (run.search !== undefined) {
    const { points, samples, apart, isInterim } = run.search;
    const comparedText = `${counted(points.length, "candidate")} ${points.length === 1 ? "was" : "were"} compared on ${counted(samples, "sample")}`;
    if (isInterim === true)
      return `This is the best so far: the search is not over, and it was not evaluated on other samples. ${comparedText}. The same command continues.`;
    return apart ? `${comparedText}, and the best ${resultCount} on other samples.` : sameSamplesWarning(run);
  }
  if (resultCount < 2) return undefined;
  const { validation } = run.data;
  return validation === undefined
    ? sameSamplesWarning(run)
    : `${integer(validation)} validation samples chose it among ${resultCount} candidates, and the test samples evaluated it.`;
}

export function sameSamplesWarning({ search, data, variants }: Run): string | undefined {
  const isSame =
    search === undefined
      ? data.validation === undefined && variants.filter(({ result }) => result !== undefined).length > 1
      : !search.apart && search.isInterim !== true;
  if (!isSame) return undefined;
  const { count } = data.test;
  const requiredSamples = search === undefined ? minDividedSamples : 2 * minSamples;
  const isFew = count !== undefined && count < requiredSamples;
  const samples = isFew ? `Only ${counted(count, "test sample")}, so the same ones` : "The same samples";
  const advice = isFew ? `; provide ${requiredSamples} or more` : "";
  return `${samples} chose and evaluated the result. Expect a slightly worse value in practice${advice}.`;
}

/** Returns "the smallest of 13 candidates that is within the goal and about as fast as the original". */
export function choiceClause(run: Run): string | undefined {
  const { choice, goal } = run;
  if (choice === undefined) return undefined;
  const { by, place } = choice;
  const conditions = goal === undefined ? [] : ["within the goal"];
  const isTimed = speedupOf(run, place) !== undefined;
  const isUntimed = !isTimed && relativeWorkOf(run, place) === undefined;
  const fastest = isTimed ? "the fastest" : "the lowest in processor time";
  switch (by) {
    case "only":
      return `the only ${run.search === undefined ? "candidate" : "finalist"} that is ${goal === undefined ? "usable" : "within the goal"}`;
    case "usual":
      // If the machine was too busy, the sentence about the gain says so.
      if (isUntimed)
        return `${amongAll("the smallest", run, conditions)}${run.latency?.unsteady === true ? "" : "; speed was not measured"}`;
      return amongAll("the smallest", run, [
        ...conditions,
        isTimed ? "about as fast as the original" : "close to the original in processor time",
      ]);
    case "size":
      return amongAll("the smallest", run, conditions);
    case "speed":
      return amongAll(fastest, run, conditions);
    case "download":
      return amongAll("the smallest download", run, conditions);
    case "target-size":
      return amongAll("the most accurate", run, [...conditions, "of the requested size"]);
    case "faster":
      return amongAll("the most accurate", run, [
        ...conditions,
        isTimed ? "as fast as requested" : "as low in processor time as requested",
      ]);
    case "none allowed":
      return `${fastest}, because no candidate${goal === undefined ? "" : " within the goal"} is fast enough (--faster sets the speed)`;
    case "loss":
      return `the one that lost least, because none is within the goal on the ${run.data.validation !== undefined ? "validation" : run.search?.apart === true ? "test and search" : "test"} samples`;
    case "force":
      return "the smallest, because none is within the goal (--force)";
  }
}

function amongAll(superlative: string, run: Run, conditions: readonly string[]): string {
  const count = run.search?.points.length ?? run.variants.length;
  const phrase = count > 1 ? `${superlative} of ${counted(count, "candidate")}` : `${superlative} candidate`;
  return conditions.length === 0 ? phrase : `${phrase} that is ${conditions.join(" and ")}`;
}

/** Returns " Smaller, but not kept: int8 weights (292 kB), which is 0.43 × as fast (--for size keeps it)." */
export function slowerText(run: Run): string {
  const { over } = run.choice ?? {};
  const smallerVariant = over === undefined ? undefined : run.variants[over];
  if (smallerVariant?.result === undefined) return "";
  const speed = speedupOf(run, over)?.median;
  const cost =
    speed === undefined
      ? `takes ${times(relativeWorkOf(run, over) ?? Number.NaN)} the processor time`
      : `is ${times(speed)} as fast`;
  return ` Smaller, but not kept: ${smallerVariant.name} (${bytes(smallerVariant.result.bytes)}), which ${cost} (--for size keeps it).`;
}

/** Returns "int8 static; 4 bits are smaller and kept the goal in the search, but missed it on the other samples: −3.2 points, −4.0 points." */
function smallerButLostSentence({ variants, chosen, goal, search }: Run): string | undefined {
  const keptResult = variants[chosen ?? -1]?.result;
  if (keptResult === undefined || goal === undefined || search?.apart !== true) return undefined;
  const sizeOf = comparedSizeOf(search);
  const lostVariants = variants.filter(({ name, result, verdict }) => {
    const { drop = Number.POSITIVE_INFINITY } = search.points.find((point) => point.name === name) ?? {};
    const isSmaller = result !== undefined && sizeOf(result) < sizeOf(keptResult);
    return isSmaller && drop <= goal.maxDrop && verdict !== undefined && !isWithin(verdict.drop, goal);
  });
  if (lostVariants.length === 0) return undefined;
  const drops = lostVariants.map(({ comparison }) => (comparison === undefined ? "" : formatChange(comparison)));
  const names = lostVariants.map(({ name }) => name).join("; ");
  return `${names} ${lostVariants.length === 1 ? "is" : "are"} smaller and kept the goal in the search, but missed it on the other samples: ${drops.join(", ")}.`;
}
