/** Job: has a recipe run on several models, in other processes or by the workers of a queue. */
import { refusalIn, stopIfAsked } from "../../errors.ts";
import { counted, integer } from "../../evaluate/numbers.ts";
import { storedBytes } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { parseRecipe, recipeName } from "../../recipe/index.ts";
import type { Ahead } from "../../run/pool.ts";
import { inputIn, shareInput } from "../queue/shared-store.ts";
import { type Elsewhere, inProcesses, onQueue, withQueue } from "./ahead.ts";
import { modulesOf, type Work } from "./kinds.ts";
import { openModel } from "./open-model.ts";
import type { RecipeInput } from "./recipe.ts";
import { recipeFile, type SearchInput } from "./searching.ts";

export interface RecipesInput extends Elsewhere {
  readonly recipe: string;
  readonly models: readonly SearchInput[];
}

/** Where the results of each model lie. */
export type RecipesOutput = readonly Pick<SearchInput, "resumeFolder" | "bucket">[];

export default async function recipesJob(input: RecipesInput, context: JobContext): Promise<RecipesOutput> {
  const { recipe: path, models, jobs, queue: named } = input;
  const recipe = await recipeFile(path);
  const name = recipeName(parseRecipe(recipe, path));
  const kind = "recipe";
  const asked = await Promise.all(models.map((one) => ready({ ...one, recipe })));
  /** @param inputs with a gap for each model that cannot be opened. */
  const run = async (
    inputs: readonly (RecipeInput | undefined)[],
    open: (workOf: (at: string) => Work) => Promise<Ahead>,
  ) => {
    const names = inputs.flatMap((one, at) => (one === undefined ? [] : [String(at)]));
    const ahead = await open((at) => {
      const one = inputs[Number(at)];
      if (one === undefined) throw new RangeError(`there is no model ${at}`);
      return { kind, name, input: one };
    });
    context.stage(`${counted(names.length, "model")}, ${integer(ahead.jobs)} at a time`);
    await ahead.doRound(names, [], context.signal).finally(() => ahead.close());
    stopIfAsked(context.signal, "Stopped while the recipe ran on several models.");
  };
  if (named === undefined) {
    const bytes = Math.max(0, ...asked.map((one) => (one === undefined ? 0 : storedBytes(one.model.graph))));
    const inputs = asked.map((one) => one?.input);
    await run(inputs, async (workOf) => inProcesses(jobs, bytes, workOf));
    return models.map(({ resumeFolder }) => ({ resumeFolder }));
  }
  return withQueue(named, async (queue, store) => {
    context.stage("store");
    const shared: (RecipeInput | undefined)[] = [];
    for (const one of asked) shared.push(one && (await shareInput(store, one.model, { kind, input: one.input })));
    const [first] = asked.flatMap((one) => one?.input ?? []);
    const modules = first === undefined ? [] : await modulesOf({ kind, input: first });
    await run(shared, (workOf) => onQueue(queue, named.url, workOf, modules, context));
    return models.map(({ resumeFolder: own }, at) => {
      const one = shared[at];
      const { resumeFolder = own, bucket } = one === undefined ? {} : inputIn(store, one);
      return { resumeFolder, bucket };
    });
  });
}

/** Undefined where the model cannot be opened: the job that judges it says why. */
async function ready(input: RecipeInput): Promise<{ readonly input: RecipeInput; readonly model: Model } | undefined> {
  try {
    return { input, model: await openModel(input.model, { log: () => {} }) };
  } catch (error) {
    refusalIn(error);
    return undefined;
  }
}
