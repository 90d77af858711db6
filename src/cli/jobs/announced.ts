/** Says how long judging will take, as soon as its first batches tell. */
import { judgingForecast } from "../../recipe/forecast.ts";

interface Told {
  log(event: { readonly id: string; readonly text: string; readonly level?: "note" | "warning" }): void;
  progress(done: number, total?: number, figures?: string): void;
}

/** From when on the speed is known. */
const fewestSeconds = 2;
const fewestSamples = 256;

/**
 * A context whose progress counts samples, told once how long all of them take.
 * @param passes how often all samples are run in all.
 * @param now seconds.
 */
export function announced<C extends Told>(
  context: C,
  samples: number | undefined,
  passes: number,
  now: () => number = () => performance.now() / 1000,
): C {
  let first: { readonly done: number; readonly at: number } | undefined;
  let isOpen = samples !== undefined;
  return {
    ...context,
    progress(done: number, total?: number, figures?: string) {
      context.progress(done, total, figures);
      // Loading lies before the first count.
      first ??= { done, at: now() };
      const [seconds, ran] = [now() - first.at, done - first.done];
      if (!isOpen || samples === undefined || ran === 0 || (seconds < fewestSeconds && ran < fewestSamples)) return;
      isOpen = false;
      const text = judgingForecast((seconds / ran) * samples * passes, samples);
      if (text !== undefined) context.log({ id: "duration", text: `${text}. Fewer take less: --samples` });
    },
  };
}
