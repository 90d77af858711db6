/** Job of `pith check`: times a model and its original, interleaved, on one thread. */
import { createEngine } from "../../../core/engine/index.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type PairedRunTimes, relativeTimer } from "../../../runtime/run/relative-time.ts";
import { openModel } from "../job-parts/open-model.ts";
import { timedTokenCount } from "./bench.ts";

export interface RelativeTimeInput {
  readonly original: string;
  readonly model: string;
  readonly seed: number;
}

/** @throws PithError E_ENGINE if one of the models does not run on random inputs of the original. */
export default async function relativeTimeJob(
  { original, model, seed }: RelativeTimeInput,
  context: JobContext,
): Promise<PairedRunTimes> {
  const [originalModel, changedModel] = [await openModel(original, context), await openModel(model, context)];
  context.stage("time");
  const timing = { engine: createEngine(), seed, signal: context.signal };
  const timer = await relativeTimer(originalModel, timing, await timedTokenCount(original));
  try {
    return await timer.beside(changedModel);
  } finally {
    await timer.release();
  }
}
