/** Job that evaluates one candidate of a search (`pith compress`), and stores its result. */
import type { JobContext } from "../../../runtime/job/job.ts";
import { evaluateCandidateIn } from "../../../search/search.ts";
import { withSearch } from "../job-parts/open-search.ts";
import type { CombinationInput } from "../queue/job-inputs.ts";

export default async function combinationJob(input: CombinationInput, context: JobContext): Promise<void> {
  await withSearch(input, context, undefined, ({ model, task, options, partialContext: running }) =>
    evaluateCandidateIn(model, task, options, input.combination, running),
  );
}
