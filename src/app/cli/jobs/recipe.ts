/** Job that runs a recipe on one model, and stores steps and metrics. */
import { recipeNameOf } from "../../../judge/recipe/pass-steps.ts";
import { parseRecipe } from "../../../judge/recipe/recipe-text.ts";
import { runIntoStore } from "../../../judge/run/trials.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import type { RecipeInput } from "../queue/job-inputs.ts";
import { withSearch } from "./parts/open-search.ts";

export default async function recipeJob(input: RecipeInput, context: JobContext): Promise<void> {
  const recipe = parseRecipe(input.recipe);
  await withSearch(input, context, [recipe], ({ model, task, options, partialContext: running }) =>
    runIntoStore(model, { name: recipeNameOf(recipe), recipe }, task, options, running),
  );
}
