/** Job that evaluates one candidate of a search (`pith compress`), and stores its result. */
import type { JobContext } from "../../../runtime/job/job.ts";
import { evaluateIntoStore } from "../../../search/search.ts";
import type { CombinationInput } from "../queue/job-inputs.ts";
import { withSearch } from "./parts/open-search.ts";

export default async function combinationJob(input: CombinationInput, context: JobContext): Promise<void> {
  await withSearch(input, context, undefined, ({ model, task, options, partialContext: running }) =>
    evaluateIntoStore(model, task, options, input.combination, running),
  );
}
