/** Gradients of several small batches as that of a large one: their mean, for networks of which a large batch takes too much memory. */
import { type Floats, zerosLike } from "./floats.ts";
import type { Trained } from "./optimizer.ts";

export interface Accumulator {
  /** Adds the gradients that the parameters hold. After the last of `count` they hold the mean of all, and it says so. */
  add(): boolean;
  /** Forgets what was added and filled no step. */
  clear(): void;
}

/** Sums in the gradients' own precision. Of one batch there is nothing to add up. */
export function accumulator(parameters: readonly Trained[], count: number): Accumulator {
  if (count === 1) return { add: () => true, clear: () => {} };
  const sums = parameters.map(({ gradient }): Floats => zerosLike(gradient));
  let added = 0;
  return {
    add() {
      added++;
      parameters.forEach(({ gradient }, at) => {
        const sum = sums[at];
        if (sum === undefined) return;
        for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (gradient[i] as number) / count;
      });
      if (added < count) return false;
      parameters.forEach(({ gradient }, at) => {
        const sum = sums[at];
        if (sum === undefined) return;
        gradient.set(sum);
        sum.fill(0);
      });
      added = 0;
      return true;
    },
    clear() {
      added = 0;
      for (const sum of sums) sum.fill(0);
    },
  };
}
