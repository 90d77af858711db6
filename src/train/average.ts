/**
 * An exponential moving average of the parameters (Polyak and Juditsky 1992): a = d·a + (1-d)·w after every step, from w at the start. It lies
 * nearer to the minimum than the last step does, which jumps around it.
 */
import type { Floats } from "./floats.ts";
import type { Trained } from "./optimizer.ts";

export interface Average {
  /** The averages, in the order of the parameters. */
  readonly values: readonly Floats[];
  /** Takes in the parameters as they are now. */
  update(): void;
}

/** @param decay d, from 0 (the last step) to below 1. */
export function movingAverage(parameters: readonly Trained[], decay: number): Average {
  const averages = parameters.map(({ values }): Floats => values.slice());
  return {
    values: averages,
    update() {
      parameters.forEach(({ values }, at) => {
        const average = averages[at];
        if (average === undefined) return;
        for (let i = 0; i < average.length; i++)
          average[i] = decay * (average[i] as number) + (1 - decay) * (values[i] as number);
      });
    },
  };
}
