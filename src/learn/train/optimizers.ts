/** The optimizers: SGD, Adam and AdamW. */
import { runKernel } from "./kernels.ts";
import { defineOptimizer, type Optimizer } from "./optimizer.ts";

export interface SgdOptions {
  readonly momentum?: number;
  readonly weightDecay?: number;
}

/**
 * Stochastic gradient descent with momentum as in PyTorch: g += wd·w; v = μ·v + g (v = g at the first step); w -= lr·v.
 * @example
 * const optimizer = sgd({ momentum: 0.9 });
 */
export function sgd({ momentum = 0, weightDecay = 0 }: SgdOptions = {}): Optimizer {
  return defineOptimizer({
    name: "sgd",
    // With weight decay, momentum also accumulates the decay. The step graph (`carry`) accumulates gradients only.
    ...(momentum > 0 && weightDecay === 0 ? { carry: momentum } : {}),
    slots: momentum === 0 ? [] : ["momentum"],
    step({ values, gradient, decays }, [velocity], rate) {
      const decay = decays ? weightDecay : 0;
      if (velocity === undefined) runKernel("descend", [values], gradient, rate, decay);
      else runKernel("descendWithMomentum", [values, velocity], gradient, rate, momentum, decay);
    },
  });
}

export interface AdamOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  readonly weightDecay?: number;
}

/**
 * Adam (Kingma and Ba 2015): m = β₁m + (1-β₁)g; v = β₂v + (1-β₂)g²; w -= lr/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + ε). Weight decay adds to g.
 * @example
 * const optimizer = adam();
 */
export function adam(options: AdamOptions = {}): Optimizer {
  return defineAdam("adam", { weightDecay: 0, ...options }, false);
}

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter 2019), by default 0.01: w *= 1 - lr·wd.
 * @example
 * const optimizer = adamW({ weightDecay: 0.05 });
 */
export function adamW(options: AdamOptions = {}): Optimizer {
  return defineAdam("adamw", { weightDecay: 0.01, ...options }, true);
}

function defineAdam(name: string, options: AdamOptions, isDecoupled: boolean): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  return defineOptimizer({
    name,
    slots: ["first", "second"],
    step({ values, gradient, decays }, slots, learningRate, count) {
      const rate = learningRate / (1 - beta1 ** count);
      const spread = 1 / Math.sqrt(1 - beta2 ** count);
      const decay = decays ? weightDecay : 0;
      const [coupledDecay, decoupledDecay] = isDecoupled ? [0, learningRate * decay] : [decay, 0];
      const shares = [1 - beta1, 1 - beta2];
      runKernel("adam", [values, ...slots], gradient, rate, ...shares, spread, epsilon, coupledDecay, decoupledDecay);
    },
  });
}

export const optimizers = {
  adam: { rate: 0.001, make: adam },
  adamw: { rate: 0.001, make: adamW },
  sgd: { rate: 0.05, make: (options: SgdOptions) => sgd({ momentum: 0.9, ...options }) },
} as const;
type OptimizerName = keyof typeof optimizers;
export const optimizerNames = Object.keys(optimizers) as [OptimizerName, ...OptimizerName[]];

/** Returns the default rate; that of Adam for custom optimizers. */
export function defaultRate({ name }: Optimizer): number {
  return optimizers[optimizerNames.find((optimizerName) => optimizerName === name) ?? "adam"].rate;
}
