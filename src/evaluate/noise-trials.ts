/** Changes on trial: each stays where the answers have less noise with it. */
import type { Model } from "../graph/model.ts";
import { snapshot } from "../graph/snapshot.ts";
import type { NoiseMeter } from "./answer-noise.ts";

/** Makes a change in place, which says whether it can stay; undone unless it does. @returns what it gained, in words. */
type Trial = (change: () => Promise<boolean>) => Promise<string | undefined>;

/** @param leastGain the share of the noise that a change has to take. */
export function trialsOn(model: Model, noiseOf: NoiseMeter, leastGain: number): Trial {
  let before: number | undefined;
  return async (change) => {
    const [restore, untouched] = [snapshot(model), model.clone()];
    const canStay = await change();
    // What changes nothing is not measured: a model may not run on random inputs.
    if (canStay) before ??= await noiseOf(untouched);
    const after = canStay ? await noiseOf(model) : undefined;
    if (before === undefined || after === undefined || after >= (1 - leastGain) * before) {
      restore();
      return undefined;
    }
    const share = Math.round((1 - after / before) * 100);
    before = after;
    return `${share} % less noise in the answers`;
  };
}
