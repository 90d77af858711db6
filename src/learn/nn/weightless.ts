/** Modules without weights: activations, dropout, flatten, select. */
import { dimsText, float32, int64, optionError } from "#ir";
import { type Module, mismatch } from "./module.ts";

/** max(x, 0). */
export function relu(): Module {
  return ({ emit, name }, x) => emit.named(`${name}.output`).Relu([x]);
}

/** 1 / (1 + e⁻ˣ). */
export function sigmoid(): Module {
  return ({ emit, name }, x) => emit.named(`${name}.output`).Sigmoid([x]);
}

/** The hyperbolic tangent. */
export function tanh(): Module {
  return ({ emit, name }, x) => emit.named(`${name}.output`).Tanh([x]);
}

/** x / (1 + e⁻ˣ) (Elfwing et al. 2018). */
export function silu(): Module {
  return ({ emit, name }, x) => emit.named(`${name}.output`).Mul([x, emit.named(`${name}.sigmoid`).Sigmoid([x])]);
}

/** x · Φ(x), with the distribution function of the normal distribution (Hendrycks and Gimpel 2016). */
export function gelu(): Module {
  return ({ emit, name }, x) => emit.named(`${name}.output`).Gelu([x]);
}

/**
 * In training, sets each value to 0 with this probability and divides the others by 1 - probability (Srivastava et al. 2014).
 * In inference, dropout is the identity.
 * @throws PithError E_OPTION for a probability outside 0 to below 1.
 * @example
 * const head = sequential([dropout(0.1), linear(64, 2)]);
 */
export function dropout(probability = 0.5): Module {
  if (!(probability >= 0 && probability < 1))
    throw optionError(`dropout: the probability must be at least 0 and below 1, got ${probability}.`);
  return ({ emit, name }, x) => {
    const ratio = emit.constant(float32([], [probability]), `${name}.ratio`);
    const training = emit.constant({ type: "bool", dims: [], data: Uint8Array.of(0) }, `${name}.training`, {
      kind: "state",
    });
    return emit.named(`${name}.output`).Dropout([x, ratio, training]);
  };
}

/** Flattens all axes but the batch: [batch, 1, 28, 28] → [batch, 784]. */
export function flatten(): Module {
  return ({ emit, name }, x) => emit.named(`${name}.output`).Flatten([x], { axis: 1 });
}

/**
 * Selects one index of an axis and removes the axis, as `torch.select`: `select(1, 0)` is the first token of [batch, tokens, width].
 * @throws PithError E_SHAPE_MISMATCH if x has no such axis.
 * @example
 * const head = sequential({ first: select(1, 0), fc: linear(64, 2) });
 */
export function select(axis: number, index: number): Module {
  return ({ emit, name }, x) => {
    const dims = x.type?.dims;
    const size = dims?.[axis];
    if (dims === undefined || size === undefined || (typeof size === "number" && (index >= size || index < -size)))
      throw mismatch("select", name, `an index ${index} of axis ${axis}`, dimsText(dims), "Axes count from 0.");
    return emit.named(`${name}.output`).Gather([x, emit.constant(int64([], [index]))], { axis });
  };
}
