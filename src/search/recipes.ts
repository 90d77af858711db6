/** Composes techniques into recipes, measures each result, and keeps the smallest that meets the goal. */

export { recipeName } from "../judge/recipe/names.ts";
export {
  parseRecipe,
  type Recipe,
  type RecipeSamples,
  type RecipeStep,
  type Repeat,
  recipeFrom,
  recipeText,
  recipeVersion,
} from "../judge/recipe/recipe.ts";
export { type Compressed, compress, type RunOptions, runRecipe } from "../judge/run/run.ts";
export type { Candidate } from "../judge/run/variant.ts";
export { type Allocation, type AllocationOptions, allocationFrom } from "./sensitivity/allocation.ts";
export {
  type ChannelsExplanation,
  type Explanation,
  explain,
  type TechniqueExplanation,
} from "./sensitivity/explain.ts";
export { type SensitivityOptions, sensitivity } from "./sensitivity/sensitivity.ts";
export { parseSensitivity } from "./sensitivity/sensitivity-file.ts";
export {
  type Sensitivity,
  type SensitivityCost,
  type SensitivityKind,
  type SensitivityRow,
  sensitivityKinds,
} from "./sensitivity/sensitivity-record.ts";
