/**
 * An exponential moving average of what changes from step to step (Polyak and Juditsky 1992): a = d·a + (1-d)·w after every step, from w at the
 * start. It lies nearer to the minimum than the last step does, which jumps around it.
 *
 * Running statistics are averaged along with the weights: those of the last step belong to the activations of the weights of the last step.
 */
import type { Floats } from "./floats.ts";

export interface Average {
  /** The averages, in the order of the arrays. */
  readonly values: readonly Floats[];
  /** Takes in the arrays as they are now. */
  update(): void;
}

/** @param decay d, from 0 (the last step) to below 1. */
export function movingAverage(arrays: readonly Floats[], decay: number): Average {
  const averages = arrays.map((values): Floats => values.slice());
  return {
    values: averages,
    update() {
      arrays.forEach((values, at) => {
        const average = averages[at];
        if (average === undefined) return;
        for (let i = 0; i < average.length; i++)
          average[i] = decay * (average[i] as number) + (1 - decay) * (values[i] as number);
      });
    },
  };
}
