/** Job: tries one combination of a search of `pith compress`, and leaves its result in the folder where the search looks for it. */
import type { JobContext } from "../../job/job.ts";
import { tryIn } from "../../search/search.ts";
import { type SearchInput, withSearch } from "./open-search.ts";

export interface CombinationInput extends SearchInput {
  readonly combination: string;
}

export default async function combinationJob(input: CombinationInput, context: JobContext): Promise<void> {
  await withSearch(input, context, undefined, ({ model, task, options, running }) =>
    tryIn(model, task, options, input.combination, running),
  );
}
