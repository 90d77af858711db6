/** Job: tries one combination of a search of `pith compress`, and leaves its result in the folder where the search looks for it. */
import type { JobContext } from "../../job/job.ts";
import { tryIn } from "../../search/search.ts";
import { openSearch, type SearchInput } from "./open-search.ts";
import { withTargets } from "./target.ts";

export interface CombinationInput extends SearchInput {
  readonly combination: string;
}

export default async function combinationJob(input: CombinationInput, context: JobContext): Promise<void> {
  await withTargets(input.targets, context, async (targets) => {
    const { model, task, options, running } = await openSearch(input, targets, context);
    await tryIn(model, task, options, input.combination, running);
  });
}
