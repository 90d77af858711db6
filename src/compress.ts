/** Runs recipes, searches for the smallest model, compresses model folders, and shows the results. @module */
export { quantizeFolder } from "./app/folder/quantize-folder.ts";
export { reportMarkdown } from "./app/report/markdown.ts";
export { reportPage } from "./app/report/report-page.ts";
export { recipeFrom } from "./judge/recipe/check-recipe.ts";
export type { Recipe } from "./judge/recipe/recipe.ts";
export { parseRecipe, recipeText } from "./judge/recipe/recipe-text.ts";
export type { Measured, Run } from "./judge/record/run-record.ts";
export type { Candidate } from "./judge/run/attempt.ts";
export { type Compressed, compress, runRecipe } from "./judge/run/compress.ts";
export type { RunOptions } from "./judge/run/run-options.ts";
export { search } from "./search/search.ts";
export type { SearchOptions } from "./search/search-setup.ts";
export { allocationFrom } from "./search/sensitivity/allocation.ts";
export { sensitivity } from "./search/sensitivity/sensitivity.ts";
export type { Sensitivity } from "./search/sensitivity/sensitivity-record.ts";
