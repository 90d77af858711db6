/** Job: runs a recipe on several models in other processes or by the workers of a queue. */
import { asPithError, throwIfAborted } from "../../../core/errors.ts";
import type { Model } from "../../../core/graph/model.ts";
import { counted, integer } from "../../../core/numbers.ts";
import { recipeName } from "../../../judge/recipe/names.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type RecipeFile, readRecipe } from "../files/recipe-file.ts";
import type { RecipeInput, SearchInput, Work } from "../queue/inputs.ts";
import { type WorkerOptions, withJobPool } from "./job-pool.ts";
import { openModel } from "./open-model.ts";

export interface RecipesInput extends WorkerOptions {
  readonly recipe: RecipeFile;
  readonly models: readonly SearchInput[];
  readonly outs: readonly string[];
}

export type RecipesOutput = readonly Pick<SearchInput, "resumeFolder" | "bucket">[];

export default async function recipesJob(input: RecipesInput, context: JobContext): Promise<RecipesOutput> {
  const { recipe: file, models, outs, jobs, queue } = input;
  const { text, recipe } = await readRecipe(file, outs);
  const name = recipeName(recipe);
  const inputs = models.map((one): RecipeInput => ({ ...one, recipe: text }));
  const opened = (await Promise.all(inputs.map(ready))).flatMap((one) => one ?? []);
  const names = opened.map((_, at) => String(at));
  const workOf = (at: string, its: (input: RecipeInput) => RecipeInput): Work<RecipeInput> => {
    const one = opened[Number(at)];
    if (one === undefined) throw new RangeError(`there is no model ${at}`);
    return { kind: "recipe", name, input: its(one.input) };
  };
  return withJobPool(opened, { jobs, queue }, workOf, context, async (ahead, here) => {
    if (ahead !== undefined) {
      context.stage(`${counted(names.length, "model")}, ${integer(ahead.jobs)} at a time`);
      await ahead.doRound(names, [], context).finally(() => ahead.close());
      throwIfAborted(context.signal, "Stopped while the recipe ran on several models.");
    }
    return inputs.map((input) => {
      const { resumeFolder, bucket } = here(input);
      return { resumeFolder, bucket };
    });
  });
}

/** Ignores models that cannot be opened: their own job reports the error. */
async function ready(input: RecipeInput): Promise<{ readonly input: RecipeInput; readonly model: Model } | undefined> {
  try {
    return { input, model: await openModel(input.model, { log: () => {} }) };
  } catch (error) {
    asPithError(error);
    return undefined;
  }
}
