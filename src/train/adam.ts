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

// Four elements at a time, as in sgd.ts: roots and quotients of neighbours overlap.
function move(values: Floats, gradient: Floats, first: Floats, second: Floats, settings: Move): void {
  const { beta1, beta2, epsilon, rate, spread, added, kept } = settings;
  const [rest1, rest2] = [1 - beta1, 1 - beta2];
  const whole = values.length - (values.length % 4);
  for (let i = 0; i < whole; i += 4) {
    const j = i + 1;
    const k = i + 2;
    const l = i + 3;
    const w0 = values[i] as number;
    const w1 = values[j] as number;
    const w2 = values[k] as number;
    const w3 = values[l] as number;
    const g0 = (gradient[i] as number) + added * w0;
    const g1 = (gradient[j] as number) + added * w1;
    const g2 = (gradient[k] as number) + added * w2;
    const g3 = (gradient[l] as number) + added * w3;
    const m0 = beta1 * (first[i] as number) + rest1 * g0;
    const m1 = beta1 * (first[j] as number) + rest1 * g1;
    const m2 = beta1 * (first[k] as number) + rest1 * g2;
    const m3 = beta1 * (first[l] as number) + rest1 * g3;
    const v0 = beta2 * (second[i] as number) + rest2 * g0 * g0;
    const v1 = beta2 * (second[j] as number) + rest2 * g1 * g1;
    const v2 = beta2 * (second[k] as number) + rest2 * g2 * g2;
    const v3 = beta2 * (second[l] as number) + rest2 * g3 * g3;
    first[i] = m0;
    first[j] = m1;
    first[k] = m2;
    first[l] = m3;
    second[i] = v0;
    second[j] = v1;
    second[k] = v2;
    second[l] = v3;
    values[i] = kept * w0 - (rate * m0) / (Math.sqrt(v0) * spread + epsilon);
    values[j] = kept * w1 - (rate * m1) / (Math.sqrt(v1) * spread + epsilon);
    values[k] = kept * w2 - (rate * m2) / (Math.sqrt(v2) * spread + epsilon);
    values[l] = kept * w3 - (rate * m3) / (Math.sqrt(v3) * spread + epsilon);
  }
  for (let i = whole; i < values.length; i++) {
    const w = values[i] as number;
    const g = (gradient[i] as number) + added * w;
    const m = beta1 * (first[i] as number) + rest1 * g;
    const v = beta2 * (second[i] as number) + rest2 * g * g;
    first[i] = m;
    second[i] = v;
    values[i] = kept * w - (rate * m) / (Math.sqrt(v) * spread + epsilon);
  }
}
