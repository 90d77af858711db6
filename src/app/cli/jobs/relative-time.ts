/** Job of `pith check`: times a model and its original, interleaved, on one thread. */
import { createEngine } from "../../../core/engine/index.ts";
import { Miss } from "../../../core/errors.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type PairedRunTimes, relativeTime } from "../../../runtime/run/relative-time.ts";
import { openModel } from "../job-parts/open-model.ts";
import { timedTokenCount } from "./bench.ts";

export interface RelativeTimeInput {
  readonly original: string;
  readonly model: string;
  readonly seed: number;
}

/** Maximum milliseconds of a run. */
const maxRunTime = 10_000;

/** Returns the times, or the reason why they cannot be measured. */
export default async function relativeTimeJob(
  { original, model, seed }: RelativeTimeInput,
  context: JobContext,
): Promise<PairedRunTimes | string> {
  const models = [await openModel(original, context), await openModel(model, context)] as const;
  context.stage("time");
  const timing = { engine: createEngine(), seed, signal: context.signal };
  const options = { length: await timedTokenCount(original), maxRunTime };
  const times = await relativeTime(...models, timing, options);
  return times instanceof Miss ? times.reason : times;
}
