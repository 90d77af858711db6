/** Says how long judging will take, as soon as its first batches tell. */
import { counted, waiting } from "../../evaluate/numbers.ts";

interface Reporting {
  log(event: { readonly id: string; readonly text: string; readonly level?: "note" | "warning" }): void;
  progress(done: number, total?: number, figures?: string): void;
}

/** The speed is measured over at least so long and so many batches. The first batch is slow and does not count. */
const fewestSeconds = 0.5;
const fewestBatches = 2;

/**
 * A context whose progress counts samples, and that announces once how long all of them take. Only the first run is timed: between two runs
 * lies other work. `passes`: how often all samples are run in all. `now` is in seconds.
 */
export function announced<C extends Reporting>(
  context: C,
  samples: number | undefined,
  passes: number,
  now: () => number = () => performance.now() / 1000,
): C {
  let first: { readonly done: number; readonly at: number } | undefined;
  let batches = 0;
  let isOpen = samples !== undefined;
  return {
    ...context,
    progress(done: number, total?: number, figures?: string) {
      context.progress(done, total, figures);
      if (!isOpen || samples === undefined || done === 0) return;
      isOpen = done < (total ?? samples);
      if (first === undefined) {
        first = { done, at: now() };
        return;
      }
      batches++;
      const seconds = now() - first.at;
      if (batches < fewestBatches || seconds < fewestSeconds) return;
      isOpen = false;
      const time = waiting((seconds / (done - first.done)) * samples * passes);
      const text = `evaluation on all ${counted(samples, "sample")} takes ${time}. Use fewer: --samples`;
      if (time !== undefined) context.log({ id: "duration", text });
    },
  };
}
