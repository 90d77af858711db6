/**
 * Whether a changed model is still the same function, by its answers: right ones where there are labels, else those that the original gives.
 *
 * Of what the original knows above chance, at least half must be left; it is lost only where the samples show that answers got worse.
 */

import type { Answers } from "./answers.ts";
import { commonestShare } from "./chance.ts";
import { mcnemarExact } from "./interval.ts";
import { counted, figure, integer } from "./numbers.ts";

/** A share that lost more than half of what it was above chance is not the same function any more. */
const lostShare = 0.5;
/** What counts as shown: an uneven split of the disputed samples that is less likely than this by chance. */
const significance = 0.05;

/** How the answers of a model are judged: each sample against the class that it should get. */
export interface Knowledge {
  readonly name: "accuracy" | "agreement";
  /** −1 where nothing is known. */
  readonly truth: Float64Array;
  /** What the original names. */
  readonly given: Float64Array;
  /** Share of samples for which the original is right. */
  readonly original: number;
  /** What always predicting the most frequent class would score. */
  readonly chance: number;
}

/** What the original knows; undefined for models that give no class. */
export function knowledgeOf({ given, labels }: Answers): Knowledge | undefined {
  if (given.every((named) => named < 0)) return undefined;
  const labelled = labels.some((label) => label >= 0) && labels.every(Number.isInteger);
  const truth = labelled ? labels : given;
  const chance = commonestShare(truth);
  if (chance === undefined) return undefined;
  const right = rightOnes(given, truth).reduce((sum, one) => sum + one, 0);
  return { name: labelled ? "accuracy" : "agreement", truth, given, original: right / known(truth), chance };
}

/** Why a model with these answers is no longer the same function; undefined while it is, or where that cannot be told. */
export function lostKnowledge({ name, truth, given, original, chance }: Knowledge, other: Answers): string | undefined {
  // An original that answers all samples alike can still be contradicted.
  const alike = name === "agreement" && chance === 1;
  if (original <= chance && !alike) return undefined;
  const [was, is] = [rightOnes(given, truth), rightOnes(other.given, truth)];
  const right = is.reduce((sum, one) => sum + one, 0);
  const score = right / known(truth);
  const least = alike ? lostShare : chance + lostShare * (original - chance);
  if (score >= least) return undefined;
  let [worse, better] = [0, 0];
  for (const [sample, before] of was.entries()) {
    if (before > (is[sample] ?? 0)) worse++;
    if (before < (is[sample] ?? 0)) better++;
  }
  if (mcnemarExact(worse, better) >= significance) return undefined;
  const luck = alike ? "which gives one answer for all" : `chance is ${figure("share", chance)}`;
  if (name === "agreement")
    return `the result agrees with the original on ${integer(right)} of ${counted(truth.length, "sample")} (${luck})`;
  const [from, to] = [original, score].map((value) => figure("share", value));
  return `accuracy falls from ${from} to ${to} (${counted(truth.length, "sample")}; ${luck})`;
}

/** 1 where the class is named that is true. */
function rightOnes(given: Float64Array, truth: Float64Array): Float64Array {
  return truth.map((label, sample) => Number(label >= 0 && given[sample] === label));
}

function known(truth: Float64Array): number {
  return truth.reduce((sum, label) => sum + Number(label >= 0), 0);
}
