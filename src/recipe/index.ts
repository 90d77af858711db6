/** Recipes: techniques composed, each result measured against the original, the smallest that keeps the goal chosen. */

export { completeOptions } from "../run/step.ts";
export { defaultPlan } from "./plan.ts";
export {
  calibrationSamples,
  openRecipe,
  parseRecipe,
  type Recipe,
  type RecipeStep,
  recipeFrom,
  recipeText,
  recipeVersion,
  samplesToLearnFrom,
} from "./recipe.ts";
export { refusal } from "./refusal.ts";
export { type Compressed, compress, type RunOptions, recipeName, runRecipe } from "./run.ts";
export { steps } from "./steps.ts";
export type { Candidate } from "./variant.ts";
