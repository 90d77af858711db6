/** Logs how long calibration and evaluation will take, estimated from the time of a few samples. */

import { type Model, storedBytes } from "#ir";
import type { AnyPass, Context, OptionValues } from "#pass";
import { processorTime } from "#platform";
import { counted, waiting } from "../../core/numbers.ts";
import { take } from "../../data/batches/select.ts";
import type { Dataset } from "../../data/index.ts";
import { createRunner, type Runner } from "../../runtime/run/run.ts";

/** Batch size of calibration. A batch takes less time per sample than single samples. */
const batchSize = 16;
/** If a single sample takes longer than this many seconds, no batch is timed, because the sample alone gives a sufficient estimate. */
const maxSampleSeconds = 1;

export async function announceCalibration(
  { sampleWork }: AnyPass,
  options: OptionValues,
  model: Model,
  samples: Dataset | undefined,
  { engine, log }: Context,
): Promise<void> {
  const runs = sampleWork?.runs(options) ?? 0;
  const count = typeof options.samples === "number" ? options.samples : defaultSamples;
  if (samples === undefined || runs === 0 || storedBytes(model.graph) > maxModelBytes) return;
  const runner = await createRunner(engine, model, samples.name, { optimize: false, threads: 1 });
  try {
    const timeFor = (seconds: number): string | undefined =>
      waiting(seconds * runs * Math.min(count, samples.count ?? count));
    // The first run is slow and does not count.
    await secondsOf(runner, samples, 1);
    const singleSeconds = await secondsOf(runner, samples, 1);
    if (timeFor(singleSeconds) === undefined) return;
    const size = Math.min(batchSize, samples.count ?? batchSize);
    const secondsPerSample =
      singleSeconds * size > maxSampleSeconds ? singleSeconds : (await secondsOf(runner, samples, size)) / size;
    const time = timeFor(secondsPerSample);
    if (time !== undefined) log({ id: "duration", text: `${sampleWork?.name} take ${time}` });
  } finally {
    await runner.release();
  }
}

/** Returns the processor seconds of one run with `size` samples. Unlike elapsed time, it hardly depends on other processes. */
async function secondsOf(runner: Runner, samples: Dataset, size: number): Promise<number> {
  for await (const batch of take(samples, size).batches({ size })) {
    const startMs = processorTime();
    await runner.run(batch);
    return ((processorTime() ?? Number.NaN) - (startMs ?? Number.NaN)) / 1000;
  }
  return 0;
}

/** Maximum bytes of weights of a model that is loaded once more for the estimate. */
const maxModelBytes = 2 ** 29;
/** Number of calibration samples if the options name none. */
export const defaultSamples = 200;

const minSeconds = 0.5;
const minBatches = 2;

/**
 * Returns a context whose `progress` logs the estimated total duration once, early in the first of several evaluations.
 * @param passes number of evaluations of all samples. @param now returns the time in seconds.
 */
export function announceDuration<
  C extends {
    log(event: { readonly id: string; readonly text: string; readonly level?: "note" | "warning" }): void;
    progress(done: number, total?: number, figures?: string): void;
  },
>(context: C, samples: number | undefined, passes: number, now: () => number = () => performance.now() / 1000): C {
  let start: { readonly done: number; readonly at: number } | undefined;
  let batches = 0;
  let isPending = samples !== undefined;
  return {
    ...context,
    progress(done: number, total?: number, figures?: string) {
      context.progress(done, total, figures);
      if (!isPending || samples === undefined || done === 0) return;
      isPending = done < (total ?? samples);
      if (start === undefined) {
        start = { done, at: now() };
        return;
      }
      batches++;
      const seconds = now() - start.at;
      if (batches < minBatches || seconds < minSeconds) return;
      isPending = false;
      const time = waiting((seconds / (done - start.done)) * samples * passes);
      const text = `evaluation on all ${counted(samples, "sample")} takes ${time}. To shorten it, set \`samples\``;
      if (time !== undefined) context.log({ id: "duration", text });
    },
  };
}
