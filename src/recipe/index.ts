/** Composes techniques into recipes, measures each result, and keeps the smallest that meets the goal. */

export { type Allocation, type AllocationOptions, allocationFrom } from "./allocation.ts";
export { type ChannelsExplanation, type Explanation, explain, type TechniqueExplanation } from "./explain.ts";
export { recipeName } from "./names.ts";
export {
  parseRecipe,
  type Recipe,
  type RecipeSamples,
  type RecipeStep,
  type Repeat,
  recipeFrom,
  recipeText,
  recipeVersion,
} from "./recipe.ts";
export { type Compressed, compress, type RunOptions, runRecipe } from "./run.ts";
export { type SensitivityOptions, sensitivity } from "./sensitivity.ts";
export { parseSensitivity } from "./sensitivity-file.ts";
export {
  type Sensitivity,
  type SensitivityCost,
  type SensitivityKind,
  type SensitivityRow,
  sensitivityKinds,
} from "./sensitivity-record.ts";
export type { Candidate } from "./variant.ts";
