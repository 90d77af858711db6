/** What a search has tried, for reports. */
import { judge } from "../evaluate/index.ts";
import { type Figures, frontOf } from "../recipe/objective.ts";
import { isRepeat, type Recipe, type RecipeSamples, recipeText } from "../recipe/recipe.ts";
import type { Attempt } from "../recipe/variant.ts";
import type { SearchRecord } from "../report/data.ts";
import { type Combination, recipeOf } from "./combinations.ts";
import type { Tried } from "./forecast.ts";

export interface Scored extends Tried {
  readonly attempt: Attempt;
  /** What it takes, whoever has done it. */
  readonly seconds: number;
  /** Time of this search that it took. */
  readonly spent: number;
  /** An earlier combination that came to the same file. */
  readonly sameAs: string | undefined;
}

export type Usable = Scored & { readonly figures: Figures };

/** What another function answers is of no use, whatever the metric says. */
export const isUsable = (one: Scored): one is Usable =>
  one.figures !== undefined && one.attempt.usable && one.attempt.variant.refused === undefined;

/** Those whose results are sound, and no other's. */
export const soundOf = (tried: readonly Scored[]): readonly Usable[] =>
  tried.filter(isUsable).filter(({ sameAs }) => sameAs === undefined);

/** An earlier combination that came to the same file. */
export function sameFile({ evaluation }: Attempt, tried: readonly Scored[]): string | undefined {
  if (evaluation === undefined) return undefined;
  const { sha256 } = evaluation.measured;
  return tried.find(({ attempt }) => attempt.evaluation?.measured.sha256 === sha256)?.combination.name;
}

/** @param apart whether none of the samples is a test sample. */
export function recordOf(
  tried: readonly Scored[],
  samples: number,
  apart: boolean,
  division: RecipeSamples | undefined,
  isInterim: boolean,
): SearchRecord {
  const front = new Set<Scored>(frontOf(soundOf(tried), ({ figures }) => figures));
  const points = tried.map((one) => ({
    name: one.combination.name,
    ...one.figures,
    samples: countOf(one.attempt),
    interval: intervalOf(one),
    isOnFront: front.has(one),
    refused: one.sameAs === undefined ? one.attempt.variant.refused : `the same file as ${one.sameAs}`,
    seconds: one.seconds,
    recipe: recipeText(resolved(one.combination, one.attempt, division)),
  }));
  return { samples, apart, ...(isInterim ? { isInterim } : {}), points };
}

function countOf({ evaluation }: Attempt): number | undefined {
  if (evaluation === undefined) return undefined;
  const { comparison, validation } = evaluation;
  return comparison.difference.count + (validation?.comparison.difference.count ?? 0);
}

/** Confidence interval of the drop, of 95 %, or of 99.73 % where the first samples decided. Where layers were spared the comparison has only a part of the search samples and the drop has all: the interval is scaled by √(part / all). */
export function intervalOf({ attempt, figures }: Scored): SearchRecord["points"][number]["interval"] {
  const { evaluation } = attempt;
  if (evaluation === undefined || figures === undefined) return undefined;
  const { value, low, high, count } = judge(evaluation.comparison, { maxDrop: 0 }).drop;
  const narrower = Math.sqrt(count / (countOf(attempt) ?? count));
  return { low: figures.drop - narrower * (value - low), high: figures.drop + narrower * (high - value) };
}

/** With the forms of single layers that were found, so that nothing is searched again. */
export function resolved(combination: Combination, { variant }: Attempt, samples: RecipeSamples | undefined): Recipe {
  const recipe = recipeOf(combination);
  return {
    ...recipe,
    ...(samples && { samples }),
    steps: recipe.steps.map((step, at) => {
      if (isRepeat(step)) return step;
      const { judge: _, bytes: __, ...plain } = step;
      const { overrides } = variant.steps[at]?.options ?? {};
      const isLast = at === recipe.steps.length - 1;
      const options = overrides === undefined ? step.options : { ...step.options, overrides };
      return { ...plain, options, ...(isLast ? {} : { judge: false }) };
    }),
  };
}
