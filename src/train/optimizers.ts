/** Optimizers by name, as text says them: how one is made of the settings, and the learning rate that is usual with it. */
import { adam, adamW } from "./adam.ts";
import { lion } from "./lion.ts";
import type { Optimizer } from "./optimizer.ts";
import { sgd } from "./sgd.ts";

interface OptimizerSettings {
  readonly momentum: number;
  readonly nesterov: boolean;
  /** Absent where nothing was said. */
  readonly decay: { readonly weightDecay?: number };
}

export const optimizers = {
  adam: { rate: 0.001, make: ({ decay }: OptimizerSettings) => adam(decay) },
  adamw: { rate: 0.001, make: ({ decay }: OptimizerSettings) => adamW(decay) },
  // Steps of one size: a tenth of Adam's, whose are smaller (Chen et al. 2023).
  lion: { rate: 0.0001, make: ({ decay }: OptimizerSettings) => lion(decay) },
  sgd: {
    rate: 0.05,
    make: ({ momentum, nesterov, decay }: OptimizerSettings) => sgd({ momentum, nesterov, ...decay }),
  },
} as const;
export type OptimizerName = keyof typeof optimizers;
export const optimizerNames = Object.keys(optimizers) as [OptimizerName, ...OptimizerName[]];

/** What is usual with adam suits an optimizer that nothing is known of. */
export function usualRate({ name }: Optimizer): number {
  return optimizers[optimizerNames.find((each) => each === name) ?? "adam"].rate;
}
