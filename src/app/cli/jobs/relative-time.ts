/** Job that times a changed model relative to its original. */
import type { Model } from "#ir";
import { createEngine } from "../../../core/engine/index.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type PairedRunTimes, relativeTimer } from "../../../runtime/run/relative-time.ts";
import { openModel } from "../job-parts/open-model.ts";

/** Returns the times, or why the models cannot be timed. @throws PithError E_ENGINE or E_UNSUPPORTED if one does not run. */
export default async function relativeTimeJob(
  { original, model, seed }: { readonly original: string; readonly model: string; readonly seed: number },
  context: JobContext,
): Promise<PairedRunTimes | string> {
  const [originalModel, changedModel] = [await openModel(original, context), await openModel(model, context)];
  if (inputsOf(originalModel) !== inputsOf(changedModel))
    return "the inputs have other names or types than those of the original";
  context.stage("time");
  const timing = { engine: createEngine(), seed, signal: context.signal };
  const timer = await relativeTimer(originalModel, timing);
  try {
    return await timer.timePair(changedModel);
  } finally {
    await timer.release();
  }
}

const inputsOf = ({ graph: { feeds } }: Model): string =>
  JSON.stringify(feeds.map(({ name, type }) => [name, type?.type]).toSorted());
