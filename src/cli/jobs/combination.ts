/** Job: tries one combination of a search for `pith compress`, which finds what it has come to in their folder. */
import type { JobContext } from "../../job/job.ts";
import { tryIn } from "../../search/index.ts";
import { openSearch, type SearchInput } from "./searching.ts";
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
