/**
 * A recipe: passes in order, each with its options, as YAML, JSON or a plain object.
 *
 *     version: 1
 *     steps:
 *       - repeat: 5
 *         steps:
 *           - prune: { amount: { from: 30%, to: 5% }, keepMasks: true }
 *           - train: { epochs: 1 }
 *       - quantize: { scheme: static }
 *
 * A step is the name of a pass with its options, and optionally "judge". Data is not part of a recipe. Numbers in repeated steps can follow a
 * schedule (`option-schedules.ts`).
 */
import type { OptionValues } from "#pass";

export const recipeVersion = 1;

export interface Recipe {
  readonly version: typeof recipeVersion;
  /** Numbers of samples (default: as the steps request). A search records these numbers, so that its recipe reproduces the file. */
  readonly samples?: RecipeSamples | undefined;
  readonly steps: readonly (RecipeStep | Repeat)[];
}

export interface RecipeSamples {
  readonly calibration: number;
  /** Maximum number of training samples, or "all" that are not test samples. */
  readonly training: number | "all";
}

export interface RecipeStep {
  readonly id: string;
  /** Options as written in the recipe, without the pass's defaults. */
  readonly options: OptionValues;
  /** Whether the step's result is measured (default: true; in a repeat, for its last step). "fallback": with precision fallback if the goal is missed. */
  readonly judge?: boolean | "fallback";
  /** Maximum bytes of the file, for which bits per layer are chosen (`fitToBytes`). Set by searches; final recipes have `overrides` instead. */
  readonly maxBytes?: number;
}

export interface Repeat {
  readonly repeat: number;
  /** Steps of each round. Their numeric options can be schedules: `{ from, to, curve }`. */
  readonly steps: readonly RecipeStep[];
}

export function isRepeat(entry: RecipeStep | Repeat): entry is Repeat {
  return "repeat" in entry;
}
