/** Opens model and data for a search of `pith compress`, in the command and in its parallel jobs. */
import { basename } from "node:path";
import { createEngine } from "../../../../core/engine/index.ts";
import { openSteps } from "../../../../judge/recipe/pass-steps.ts";
import type { Recipe } from "../../../../judge/recipe/recipe.ts";
import type { JobContext } from "../../../../runtime/job/job.ts";
import type { RunTarget } from "../../../../runtime/run/run-target.ts";
import { listRecipes } from "../../../../search/candidates.ts";
import type { SearchInput } from "../../queue/job-inputs.ts";
import { requireStored } from "../../queue/shared-store.ts";
import { openData } from "./open-data.ts";
import { contextOf, openModel } from "./open-model.ts";
import { withTargets } from "./target.ts";

export type OpenedSearch = Awaited<ReturnType<typeof openSearch>>;

export const withSearch = <T>(
  input: SearchInput,
  context: JobContext,
  recipes: readonly Recipe[] | undefined,
  work: (search: OpenedSearch) => Promise<T>,
): Promise<T> =>
  withTargets(input.targets, context, async (targets) => work(await openSearch(input, targets, context, recipes)));

async function openSearch(
  input: SearchInput,
  targets: readonly RunTarget[],
  context: JobContext,
  fixedRecipes: readonly Recipe[] | undefined,
) {
  await requireStored(input);
  const model = await openModel(input.model, context);
  const engine = createEngine();
  const { data, seed, metric, output } = input;
  const written =
    fixedRecipes ?? (await listRecipes(model, { target: input.targets, techniques: input.search.techniques }));
  const recipes = await Promise.all(written.map(async (recipe) => ({ ...recipe, steps: await openSteps(recipe) })));
  const stepsTask = await openData(engine, model, data, { recipes, seed, metric, output }, context);
  return {
    ...stepsTask,
    model,
    partialContext: contextOf(engine, input, context),
    options: {
      ...input.search,
      samples: stepsTask.samples,
      name: basename(input.model),
      goal: input.goal,
      force: input.force,
      batch: input.data.batch,
      output: input.output,
      resumeFolder: input.resumeFolder,
      targets,
    },
  };
}
