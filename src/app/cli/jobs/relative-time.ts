import type { Model } from "#ir";
import { createEngine } from "../../../core/engine/index.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type PairedRunTimes, relativeTimer } from "../../../runtime/run/relative-time.ts";
import { openModel } from "./parts/open-model.ts";

/** Job: returns the times of two models, or why they cannot be timed. @throws PithError E_ENGINE or E_UNSUPPORTED if one does not run. */
export default async function relativeTimeJob(
  { original, model, seed }: { readonly original: string; readonly model: string; readonly seed: number },
  context: JobContext,
): Promise<PairedRunTimes | string> {
  const [originalModel, changedModel] = [await openModel(original, context), await openModel(model, context)];
  if (inputsOf(originalModel) !== inputsOf(changedModel))
    return "the inputs have other names or types than those of the original";
  context.stage("time");
  const timer = await relativeTimer(originalModel, { engine: createEngine(), seed, signal: context.signal });
  try {
    return await timer.timePair(changedModel);
  } finally {
    await timer.release();
  }
}

const inputsOf = ({ graph: { feeds } }: Model): string =>
  JSON.stringify(feeds.map(({ name, type }) => [name, type?.type]).toSorted());
