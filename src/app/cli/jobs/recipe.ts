/** Job that runs a recipe on one model, and stores steps and metrics where `pith compress` finds them. */
import { recipeName } from "../../../judge/recipe/pass-steps.ts";
import { parseRecipe } from "../../../judge/recipe/recipe-text.ts";
import { runIn } from "../../../judge/run/trials.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { withSearch } from "../job-parts/open-search.ts";
import type { RecipeInput } from "../queue/job-inputs.ts";

export default async function recipeJob(input: RecipeInput, context: JobContext): Promise<void> {
  const recipe = parseRecipe(input.recipe);
  await withSearch(input, context, [recipe], ({ model, task, options, partialContext: running }) =>
    runIn(model, { name: recipeName(recipe), recipe }, task, options, running),
  );
}
