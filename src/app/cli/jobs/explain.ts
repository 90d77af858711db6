import { createEngine } from "../../../core/engine/index.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type Explanation, explain } from "../../../search/sensitivity/explain.ts";
import { contextOf, openModel } from "../job-parts/open-model.ts";

export interface ExplainInput {
  readonly model: string;
  readonly layer: string;
  readonly channel: number | undefined;
  readonly seed: number;
}

export default async function explainJob(input: ExplainInput, context: JobContext): Promise<Explanation> {
  const model = await openModel(input.model, context);
  return explain(model, input.layer, input.channel, contextOf(createEngine(), input, context));
}
