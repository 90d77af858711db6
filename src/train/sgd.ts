/**
 * Stochastic gradient descent, with momentum as PyTorch writes it: g += wd·w; v = μ·v + g (v = g at the first step); w -= lr·v, or with
 * Nesterov's momentum w -= lr·(g + μ·v).
 */
import { PithError } from "../errors.ts";
import type { Floats } from "./floats.ts";
import { defineOptimizer, type Optimizer } from "./optimizer.ts";

export interface SgdOptions {
  readonly momentum?: number;
  /** Looks ahead along the momentum (Nesterov 1983, in the form of Sutskever et al. 2013). */
  readonly nesterov?: boolean;
  readonly weightDecay?: number;
}

/**
 * Stochastic gradient descent.
 * @throws PithError E_OPTION for Nesterov's momentum without momentum.
 * @example
 * const optimizer = sgd({ momentum: 0.9 });
 */
export function sgd({ momentum = 0, nesterov = false, weightDecay = 0 }: SgdOptions = {}): Optimizer {
  if (nesterov && momentum === 0) throw new PithError("E_OPTION", "Nesterov's momentum needs a momentum above 0.");
  return defineOptimizer({
    name: "sgd",
    // Weight decay is part of what momentum accumulates, and is not in the graph; nor is the look ahead.
    ...(momentum > 0 && weightDecay === 0 && !nesterov ? { carry: momentum } : {}),
    slots: momentum === 0 ? [] : ["momentum"],
    step({ values, gradient, decays }, [velocity], rate) {
      const decay = decays ? weightDecay : 0;
      if (velocity === undefined) descend(values, gradient, rate, decay);
      else if (nesterov) descendAhead(values, gradient, velocity, rate, momentum, decay);
      else descendWithMomentum(values, gradient, velocity, rate, momentum, decay);
    },
  });
}

// The loops stand in functions of their own: the engine compiles each for the array types that it meets. They walk up to
// five streams of memory; four elements at a time it runs at the memory's speed, one at a time at less than half of it (bench/train.bench.ts).

function descend(values: Floats, gradient: Floats, rate: number, decay: number): void {
  const whole = values.length - (values.length % 4);
  const kept = 1 - rate * decay;
  for (let i = 0; i < whole; i += 4) {
    const j = i + 1;
    const k = i + 2;
    const l = i + 3;
    values[i] = kept * (values[i] as number) - rate * (gradient[i] as number);
    values[j] = kept * (values[j] as number) - rate * (gradient[j] as number);
    values[k] = kept * (values[k] as number) - rate * (gradient[k] as number);
    values[l] = kept * (values[l] as number) - rate * (gradient[l] as number);
  }
  for (let i = whole; i < values.length; i++) {
    values[i] = kept * (values[i] as number) - rate * (gradient[i] as number);
  }
}

function descendWithMomentum(
  values: Floats,
  gradient: Floats,
  velocity: Floats,
  rate: number,
  momentum: number,
  decay: number,
): void {
  const whole = values.length - (values.length % 4);
  for (let i = 0; i < whole; i += 4) {
    const j = i + 1;
    const k = i + 2;
    const l = i + 3;
    const w0 = values[i] as number;
    const w1 = values[j] as number;
    const w2 = values[k] as number;
    const w3 = values[l] as number;
    const v0 = momentum * (velocity[i] as number) + (gradient[i] as number) + decay * w0;
    const v1 = momentum * (velocity[j] as number) + (gradient[j] as number) + decay * w1;
    const v2 = momentum * (velocity[k] as number) + (gradient[k] as number) + decay * w2;
    const v3 = momentum * (velocity[l] as number) + (gradient[l] as number) + decay * w3;
    velocity[i] = v0;
    velocity[j] = v1;
    velocity[k] = v2;
    velocity[l] = v3;
    values[i] = w0 - rate * v0;
    values[j] = w1 - rate * v1;
    values[k] = w2 - rate * v2;
    values[l] = w3 - rate * v3;
  }
  for (let i = whole; i < values.length; i++) {
    const w = values[i] as number;
    const v = momentum * (velocity[i] as number) + (gradient[i] as number) + decay * w;
    velocity[i] = v;
    values[i] = w - rate * v;
  }
}

function descendAhead(
  values: Floats,
  gradient: Floats,
  velocity: Floats,
  rate: number,
  momentum: number,
  decay: number,
): void {
  for (let i = 0; i < values.length; i++) {
    const w = values[i] as number;
    const g = (gradient[i] as number) + decay * w;
    const v = momentum * (velocity[i] as number) + g;
    velocity[i] = v;
    values[i] = w - rate * (g + momentum * v);
  }
}
