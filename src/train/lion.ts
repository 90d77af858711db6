/** Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms"): w *= 1 - lr·wd; w -= lr·sign(β₁m + (1-β₁)g); m = β₂m + (1-β₂)g. */
import { defineOptimizer, type Optimizer } from "./optimizer.ts";

export interface LionOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly weightDecay?: number;
}

/**
 * Lion: steps of one size, by sign; a third to a tenth of Adam's learning rate suits it.
 * @example
 * const optimizer = lion({ weightDecay: 0.1 });
 */
export function lion({ beta1 = 0.9, beta2 = 0.99, weightDecay = 0 }: LionOptions = {}): Optimizer {
  return defineOptimizer({
    name: "lion",
    slots: ["momentum"],
    step({ values, gradient, decays }, [momentum], rate) {
      if (momentum === undefined) return;
      const kept = decays ? 1 - rate * weightDecay : 1;
      for (let i = 0; i < values.length; i++) {
        const g = gradient[i] as number;
        const m = momentum[i] as number;
        values[i] = kept * (values[i] as number) - rate * Math.sign(beta1 * m + (1 - beta1) * g);
        momentum[i] = beta2 * m + (1 - beta2) * g;
      }
    },
  });
}
