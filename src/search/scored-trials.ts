/** Tried candidates of a search with their results, and their record for reports (`run.search`). */
import { bytes, difference, times } from "#ir";
import { judge } from "../judge/compare/goal.ts";
import { type Objective, type Purpose, paretoFrontOf, type Tradeoff } from "../judge/measure/objective.ts";
import { isRepeat, type Recipe, type RecipeSamples } from "../judge/recipe/recipe.ts";
import { recipeText } from "../judge/recipe/recipe-text.ts";
import type { SearchRecord } from "../judge/record/run-record.ts";
import type { Attempt } from "../judge/run/attempt.ts";
import type { Metric } from "../runtime/metrics/metric.ts";
import { type Combination, recipeOf } from "./combinations.ts";
import type { Trial } from "./forecast.ts";

export interface ScoredTrial extends Trial {
  readonly attempt: Attempt;
  readonly seconds: number;
  /** Part of the duration that counts as time of this search. */
  readonly spent: number;
  readonly sameAs: string | undefined;
}

export type UsableTrial = ScoredTrial & { readonly tradeoff: Tradeoff };

/** Returns "palettes of 4 bits: 7.08 kB, accuracy −0.1 points, roughly 0.98 × as fast". */
export function describeTrial(
  { combination: { name }, attempt: { variant }, tradeoff, sameAs }: ScoredTrial,
  { metric: { name: metric, unit, better }, objective }: { readonly metric: Metric; readonly objective: Objective },
): string {
  if (sameAs !== undefined) return `${name}: the same file as ${sameAs}`;
  if (tradeoff === undefined) return `${name}: rejected: ${variant.rejected ?? "it cannot be evaluated"}`;
  const changeText = difference(unit, (better === "higher" ? -1 : 1) * tradeoff.drop);
  const speed = tradeoff.speed === undefined ? "" : `, roughly ${times(tradeoff.speed)} as fast`;
  const rejection = variant.rejected === undefined ? "" : `; rejected: ${variant.rejected}`;
  const sizeNote = objective.id === "download" ? " after brotli" : "";
  return `${name}: ${bytes(tradeoff.size)}${sizeNote}, ${metric} ≈ ${changeText}${speed}${rejection}`;
}

export const isUsable = (scored: ScoredTrial): scored is UsableTrial =>
  scored.tradeoff !== undefined && scored.attempt.isUsable && scored.attempt.variant.rejected === undefined;

export const selectUsableTrials = (tried: readonly ScoredTrial[]): readonly UsableTrial[] =>
  tried.filter(isUsable).filter(({ sameAs }) => sameAs === undefined);

export function nameOfSameFile({ evaluation }: Attempt, scoredTrials: readonly ScoredTrial[]): string | undefined {
  if (evaluation === undefined) return undefined;
  const { sha256 } = evaluation.measured;
  return scoredTrials.find(({ attempt }) => attempt.evaluation?.measured.sha256 === sha256)?.combination.name;
}

export function searchRecordOf(
  scoredTrials: readonly ScoredTrial[],
  samples: number,
  isApart: boolean,
  recipeSamples: RecipeSamples | undefined,
  isInterim: boolean,
  purpose: Purpose | undefined,
): SearchRecord {
  const front = new Set<ScoredTrial>(paretoFrontOf(selectUsableTrials(scoredTrials), ({ tradeoff }) => tradeoff));
  const points = scoredTrials.map((trial) => ({
    name: trial.combination.name,
    bytes: trial.tradeoff && trial.attempt.evaluation?.measured.bytes,
    ...(purpose === "download" ? { brotli: trial.tradeoff?.size } : {}),
    speed: trial.tradeoff?.speed,
    drop: trial.tradeoff?.drop,
    samples: evaluatedSamplesOf(trial.attempt),
    interval: dropIntervalOf(trial),
    isOnFront: front.has(trial),
    rejected: trial.sameAs === undefined ? trial.attempt.variant.rejected : `the same file as ${trial.sameAs}`,
    seconds: trial.seconds,
    recipe: recipeText(resolveRecipe(trial.combination, trial.attempt, recipeSamples)),
  }));
  return { samples, apart: isApart, ...(isInterim ? { isInterim } : {}), points };
}

export function evaluatedSamplesOf({ evaluation }: Attempt): number | undefined {
  if (evaluation === undefined) return undefined;
  const { comparison, validation } = evaluation;
  return comparison.difference.count + (validation?.comparison.difference.count ?? 0);
}

/** Returns the interval of the drop, scaled by √(n / N) if the comparison has n of N search samples. */
export function dropIntervalOf({ attempt, tradeoff }: ScoredTrial): SearchRecord["points"][number]["interval"] {
  const { evaluation } = attempt;
  if (evaluation === undefined || tradeoff === undefined) return undefined;
  const { value, low, high, count } = judge(evaluation.comparison, { maxDrop: 0 }).drop;
  const scale = Math.sqrt(count / (evaluatedSamplesOf(attempt) ?? count));
  return { low: tradeoff.drop - scale * (value - low), high: tradeoff.drop + scale * (high - value) };
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
