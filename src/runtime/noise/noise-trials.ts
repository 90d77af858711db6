/** Tries changes and keeps each that reduces the output noise. */
import { type Model, snapshot } from "#ir";
import type { NoiseMeter } from "./answer-noise.ts";

/** Makes a change in place and undoes it if the noise does not decrease enough. @returns the gain in words. */
type Trial = (change: () => Promise<boolean>) => Promise<string | undefined>;

/** @param minGain Minimum relative reduction of the noise. */
export function createTrials(model: Model, noiseOf: NoiseMeter, minGain: number): Trial {
  let before: number | undefined;
  return async (change) => {
    const [restore, untouched] = [snapshot(model), model.clone()];
    const canStay = await change();
    // Measures only if something changed: a model may not run on random inputs.
    if (canStay) before ??= await noiseOf(untouched);
    const after = canStay ? await noiseOf(model) : undefined;
    if (before === undefined || after === undefined || after >= (1 - minGain) * before) {
      restore();
      return undefined;
    }
    const share = Math.round((1 - after / before) * 100);
    before = after;
    return `${share} % less noise in the outputs`;
  };
}
