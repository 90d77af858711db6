/** Logs how long an evaluation on all samples will take, estimated from the time of a few. */

import { counted, waiting } from "../../core/numbers.ts";

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
