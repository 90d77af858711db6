/**
 * Adam (Kingma and Ba 2015): m = β₁m + (1-β₁)g; v = β₂v + (1-β₂)g²; w -= lr/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + ε). Weight decay adds to g; in
 * AdamW (Loshchilov and Hutter 2019) it shrinks the weight itself first: w *= 1 - lr·wd.
 */
import type { Floats } from "./floats.ts";
import { defineOptimizer, type Optimizer } from "./optimizer.ts";

export interface AdamOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  readonly weightDecay?: number;
}

/**
 * Adam, weight decay as part of the gradient.
 * @example
 * const optimizer = adam();
 */
export function adam(options: AdamOptions = {}): Optimizer {
  return withMoments("adam", { weightDecay: 0, ...options }, false);
}

/**
 * Adam with decoupled weight decay, 0.01 unless told.
 * @example
 * const optimizer = adamW({ weightDecay: 0.05 });
 */
export function adamW(options: AdamOptions = {}): Optimizer {
  return withMoments("adamw", { weightDecay: 0.01, ...options }, true);
}

function withMoments(name: string, options: AdamOptions, decoupled: boolean): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = options;
  return defineOptimizer({
    name,
    slots: ["first", "second"],
    step({ values, gradient, decays }, [first, second], learningRate, count) {
      if (first === undefined || second === undefined) return;
      const decay = decays ? weightDecay : 0;
      const moved = {
        beta1,
        beta2,
        epsilon,
        rate: learningRate / (1 - beta1 ** count),
        spread: 1 / Math.sqrt(1 - beta2 ** count),
        added: decoupled ? 0 : decay,
        kept: decoupled ? 1 - learningRate * decay : 1,
      };
      move(values, gradient, first, second, moved);
    },
  });
}

interface Move {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly rate: number;
  /** 1 / √(1-β₂ᵗ) */
  readonly spread: number;
  /** The share of the weight that is added to the gradient. */
  readonly added: number;
  /** The share of the weight that is left before the step. */
  readonly kept: number;
}

function move(values: Floats, gradient: Floats, first: Floats, second: Floats, settings: Move): void {
  const { beta1, beta2, epsilon, rate, spread, added, kept } = settings;
  const [rest1, rest2] = [1 - beta1, 1 - beta2];
  for (let i = 0; i < values.length; i++) {
    const w = values[i] as number;
    const g = (gradient[i] as number) + added * w;
    const m = beta1 * (first[i] as number) + rest1 * g;
    const v = beta2 * (second[i] as number) + rest2 * g * g;
    first[i] = m;
    second[i] = v;
    values[i] = kept * w - (rate * m) / (Math.sqrt(v) * spread + epsilon);
  }
}
