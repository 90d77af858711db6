/** Job of `pith compress` with a recipe: runs it on each model. */
import { asPithError, counted, integer, type Model, throwIfAborted } from "#ir";
import { recipeNameOf } from "../../../judge/recipe/pass-steps.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type RecipeFile, readRecipe } from "../files/recipe-file.ts";
import type { JobRequest, RecipeInput, SearchInput } from "../queue/job-inputs.ts";
import { type WorkerOptions, withJobPool } from "./parts/job-pool.ts";
import { openModel } from "./parts/open-model.ts";

interface RecipesInput extends WorkerOptions {
  readonly recipe: RecipeFile;
  readonly models: readonly SearchInput[];
  readonly outs: readonly string[];
}

export default async function recipesJob(
  { recipe: file, models, outs, jobs, queue }: RecipesInput,
  context: JobContext,
): Promise<readonly Pick<SearchInput, "resumeFolder">[]> {
  const { text, recipe } = await readRecipe(file, outs);
  const name = recipeNameOf(recipe);
  const inputs = models.map((model): RecipeInput => ({ ...model, recipe: text }));
  const openedInputs = (await Promise.all(inputs.map(openInput))).flatMap((entry) => entry ?? []);
  const names = openedInputs.map((_, index) => String(index));
  const requestOf = (index: string, toStored: (input: RecipeInput) => RecipeInput): JobRequest<RecipeInput> => {
    const entry = openedInputs[Number(index)];
    if (entry === undefined) throw new RangeError(`there is no model ${index}`);
    return { kind: "recipe", name, input: toStored(entry.input) };
  };
  return withJobPool(openedInputs, { jobs, queue }, requestOf, context, async (pool, toLocal) => {
    if (pool !== undefined) {
      context.stage(`${counted(names.length, "model")}, ${integer(pool.jobs)} at a time`);
      await pool.runRound(names, [], context).finally(() => pool.close());
      throwIfAborted(context.signal, "Stopped while the recipe ran on several models.");
    }
    return inputs.map((input) => {
      const { resumeFolder } = toLocal(input);
      return { resumeFolder };
    });
  });
}

/** Opens the model of an input. The model's own job reports an error. */
async function openInput(
  input: RecipeInput,
): Promise<{ readonly input: RecipeInput; readonly model: Model } | undefined> {
  try {
    return { input, model: await openModel(input.model, { log: () => {} }) };
  } catch (error) {
    asPithError(error);
    return undefined;
  }
}
