/** Tried candidates of a search with their results, and their record for reports (`run.search`). */
import { judge } from "../judge/compare/goal.ts";
import { type Purpose, paretoFrontOf, type Tradeoff } from "../judge/measure/objective.ts";
import { isRepeat, type Recipe, type RecipeSamples } from "../judge/recipe/recipe.ts";
import { recipeText } from "../judge/recipe/recipe-text.ts";
import type { SearchRecord } from "../judge/record/run-record.ts";
import type { Attempt } from "../judge/run/attempt.ts";
import { type Combination, recipeOf } from "./combinations.ts";
import type { Trial } from "./forecast.ts";

export interface Scored extends Trial {
  readonly attempt: Attempt;
  readonly seconds: number;
  /** Part of the duration that counts as time of this search. */
  readonly spent: number;
  readonly sameAs: string | undefined;
}

export type Usable = Scored & { readonly figures: Tradeoff };

export const isUsable = (scored: Scored): scored is Usable =>
  scored.figures !== undefined && scored.attempt.isUsable && scored.attempt.variant.rejected === undefined;

export const distinctUsableOf = (tried: readonly Scored[]): readonly Usable[] =>
  tried.filter(isUsable).filter(({ sameAs }) => sameAs === undefined);

export function nameOfSameFile({ evaluation }: Attempt, tried: readonly Scored[]): string | undefined {
  if (evaluation === undefined) return undefined;
  const { sha256 } = evaluation.measured;
  return tried.find(({ attempt }) => attempt.evaluation?.measured.sha256 === sha256)?.combination.name;
}

export function recordOf(
  tried: readonly Scored[],
  samples: number,
  isApart: boolean,
  recipeSamples: RecipeSamples | undefined,
  isInterim: boolean,
  purpose: Purpose | undefined,
): SearchRecord {
  const front = new Set<Scored>(paretoFrontOf(distinctUsableOf(tried), ({ figures }) => figures));
  const points = tried.map((scored) => ({
    name: scored.combination.name,
    bytes: scored.figures && scored.attempt.evaluation?.measured.bytes,
    ...(purpose === "download" ? { brotli: scored.figures?.size } : {}),
    speed: scored.figures?.speed,
    drop: scored.figures?.drop,
    samples: sampleCountOf(scored.attempt),
    interval: intervalOf(scored),
    isOnFront: front.has(scored),
    rejected: scored.sameAs === undefined ? scored.attempt.variant.rejected : `the same file as ${scored.sameAs}`,
    seconds: scored.seconds,
    recipe: recipeText(resolveRecipe(scored.combination, scored.attempt, recipeSamples)),
  }));
  return { samples, apart: isApart, ...(isInterim ? { isInterim } : {}), points };
}

export function sampleCountOf({ evaluation }: Attempt): number | undefined {
  if (evaluation === undefined) return undefined;
  const { comparison, validation } = evaluation;
  return comparison.difference.count + (validation?.comparison.difference.count ?? 0);
}

/** Returns the interval of the drop, scaled by √(n / N) if the comparison has n of N search samples. */
export function intervalOf({ attempt, figures }: Scored): SearchRecord["points"][number]["interval"] {
  const { evaluation } = attempt;
  if (evaluation === undefined || figures === undefined) return undefined;
  const { value, low, high, count } = judge(evaluation.comparison, { maxDrop: 0 }).drop;
  const scale = Math.sqrt(count / (sampleCountOf(attempt) ?? count));
  return { low: figures.drop - scale * (value - low), high: figures.drop + scale * (high - value) };
}

/** Adds the formats that the run chose for individual layers, so that the recipe does not search for them again. */
export function resolveRecipe(
  combination: Combination,
  { variant }: Attempt,
  samples: RecipeSamples | undefined,
): Recipe {
  const recipe = recipeOf(combination);
  return {
    ...recipe,
    ...(samples && { samples }),
    steps: recipe.steps.map((step, index) => {
      if (isRepeat(step)) return step;
      const { judge: _, maxBytes: __, ...stepWithoutJudge } = step;
      const { overrides } = variant.steps[index]?.options ?? {};
      const isLast = index === recipe.steps.length - 1;
      const options = overrides === undefined ? step.options : { ...step.options, overrides };
      return { ...stepWithoutJudge, options, ...(isLast ? {} : { judge: false }) };
    }),
  };
}
