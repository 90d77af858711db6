import { copyOf, type Floats, run, zerosLike } from "./floats.ts";
import type { OptimizedParameter } from "./optimizer.ts";

type WithGradient = Pick<OptimizedParameter, "gradient">;

export interface Accumulator {
  /** Adds the current gradients. After the last of `count`, the parameters hold their mean, and it returns true. */
  add(): boolean;
  clear(): void;
}

export function accumulator(parameters: readonly WithGradient[], count: number): Accumulator {
  if (count === 1) return { add: () => true, clear: () => {} };
  const sums = parameters.map(({ gradient }) => ({ gradient, sum: zerosLike(gradient) }));
  let added = 0;
  const clear = (): void => {
    added = 0;
    for (const { sum } of sums) sum.fill(0);
  };
  return {
    add() {
      for (const { gradient, sum } of sums) run("move", [sum], [gradient], -1 / count, 0);
      added++;
      if (added < count) return false;
      for (const { gradient, sum } of sums) gradient.set(sum);
      clear();
      return true;
    },
    clear,
  };
}

/** As in torch.nn.utils.clip_grad_norm_. */
const slack = 1e-6;

/** Scales gradients in place by min(1, limit / (norm + 1e-6)) (Pascanu et al. 2013). Returns the global norm before, in float64. */
export function clipByNorm(parameters: readonly WithGradient[], limit: number): number {
  const norm = Math.sqrt(parameters.reduce((sum, { gradient }) => sum + run("squares", [], [gradient]), 0));
  const factor = limit / (norm + slack);
  if (factor < 1) for (const { gradient } of parameters) run("scale", [gradient], [], factor);
  return norm;
}

export interface Average {
  readonly values: readonly Floats[];
  update(): void;
}

/**
 * An exponential moving average (Polyak and Juditsky 1992): a += (1-d)·(w - a) after every step, from the initial w. Running
 * statistics are averaged, too: those of the last step would not fit the averaged weights.
 * @param decay d, from 0 (the last step) to below 1.
 */
export function movingAverage(arrays: readonly Floats[], decay: number): Average {
  const pairs = arrays.map((values) => ({ values, average: copyOf(values) }));
  return {
    values: pairs.map(({ average }) => average),
    update() {
      for (const { values, average } of pairs) run("move", [average], [values], decay - 1, -1);
    },
  };
}
