/**
 * Optimizers: in place on the very arrays that the step graph is fed with.
 *
 * Arithmetic is in float64 per element, stored in the array's own precision. State (momentum, moments) is one array per parameter, of the
 * parameter's type.
 */

/** A parameter as the optimizer sees it. */
export interface Trained {
  readonly name: string;
  readonly values: Float32Array | Float64Array;
  readonly gradient: Float32Array | Float64Array;
  /** True if the gradient holds the optimizer's momentum already: the step graph has added `carry` times the gradient before. */
  readonly carried: boolean;
}

export interface Optimizer {
  readonly name: string;
  /** A factor of the gradient before that the step graph may add to the gradient, in place of momentum here. */
  readonly carry?: number;
  /** One step of all parameters at this learning rate. */
  update(parameters: readonly Trained[], learningRate: number): void;
}

export interface SgdOptions {
  readonly momentum?: number;
  readonly weightDecay?: number;
}

/**
 * Stochastic gradient descent with momentum, as PyTorch writes it: g += wd·w; v = g at the first step, then μ·v + g; w -= lr·v.
 * @example
 * const optimizer = sgd({ momentum: 0.9 });
 */
export function sgd({ momentum = 0, weightDecay = 0 }: SgdOptions = {}): Optimizer {
  const velocities = new Map<string, Float32Array | Float64Array>();
  return {
    name: "sgd",
    // Weight decay is part of what momentum accumulates, and is not in the graph.
    ...(momentum > 0 && weightDecay === 0 ? { carry: momentum } : {}),
    update(parameters, learningRate) {
      for (const { name, values, gradient, carried } of parameters) {
        if (momentum === 0 || carried) {
          descend(values, gradient, learningRate, weightDecay);
          continue;
        }
        let velocity = velocities.get(name);
        if (velocity === undefined) {
          velocity = like(values);
          velocities.set(name, velocity);
        }
        // At the first step the velocity is 0, so μ·v + g is g.
        descendWithMomentum(values, gradient, velocity, learningRate, momentum, weightDecay);
      }
    },
  };
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
export function adam({ beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 }: AdamOptions = {}): Optimizer {
  const moments = new Map<string, { first: Float32Array | Float64Array; second: Float32Array | Float64Array }>();
  let step = 0;
  return {
    name: "adam",
    update(parameters, learningRate) {
      step++;
      const rate = learningRate / (1 - beta1 ** step);
      const spread = 1 / Math.sqrt(1 - beta2 ** step);
      for (const { name, values, gradient } of parameters) {
        let state = moments.get(name);
        if (state === undefined) {
          state = { first: like(values), second: like(values) };
          moments.set(name, state);
        }
        const { first, second } = state;
        for (let i = 0; i < values.length; i++) {
          const w = values[i] as number;
          const g = (gradient[i] as number) + weightDecay * w;
          const m = beta1 * (first[i] as number) + (1 - beta1) * g;
          const v = beta2 * (second[i] as number) + (1 - beta2) * g * g;
          first[i] = m;
          second[i] = v;
          values[i] = w - (rate * m) / (Math.sqrt(v) * spread + epsilon);
        }
      }
    },
  };
}

// The loops stand in functions of their own: the engine compiles each for the array types that it meets. They walk up to
// five streams of memory; four elements at a time it runs at the memory's speed, one at a time at less than half of it (bench/train.bench.ts).

function descend(
  values: Float32Array | Float64Array,
  gradient: Float32Array | Float64Array,
  rate: number,
  decay: number,
): void {
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
  values: Float32Array | Float64Array,
  gradient: Float32Array | Float64Array,
  velocity: Float32Array | Float64Array,
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

function like(values: Float32Array | Float64Array): Float32Array | Float64Array {
  return values instanceof Float32Array ? new Float32Array(values.length) : new Float64Array(values.length);
}
