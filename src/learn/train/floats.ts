/** Float arrays of a training. Their arithmetic is in float64, rounded once to the type of the array. */
import { type Dense, dataError, dimsText } from "#ir";

export type Floats = Float32Array | Float64Array;

export function denseOf(data: Floats, dims: readonly number[] = [data.length]): Dense<"float32" | "float64"> {
  return data instanceof Float32Array ? { type: "float32", dims, data } : { type: "float64", dims, data };
}

/** @throws PithError E_DATA if the state has no floats of this length. */
export function requireFloats(dense: Dense | undefined, length: number, owner: string, name: string): Floats {
  if ((dense?.type === "float32" || dense?.type === "float64") && dense.data.length === length) return dense.data;
  const got = dense === undefined ? "nothing" : `${dense.type}${dimsText(dense.dims)}`;
  throw dataError(`${owner} needs "${name}" of ${length} floats, got ${got}.`, {
    hint: "Training resumes only with the same model, layers, pruning and optimizer.",
  });
}

export function zerosLike(values: Floats): Floats {
  return values instanceof Float32Array ? new Float32Array(values.length) : new Float64Array(values.length);
}

/** Smaller magnitudes count as zero: denormal numbers, which arise when momentum decays, would take twenty times as long. */
export const tinyOf = (values: Floats): number => (values instanceof Float32Array ? 1e-30 : 1e-290);

/** Returns this limit for numbers that are squared. */
export const tinyToSquareOf = (values: Floats): number => (values instanceof Float32Array ? 1e-16 : 1e-150);

// Two comparisons would branch on the sign, which a processor cannot predict.
export const flushTiny = (value: number, tiny: number): number => (Math.abs(value) < tiny ? 0 : value);

/** Computes w -= rate·(g + decay·w), in place. */
export function stepAgainst(values: Floats, gradient: Floats, rate: number, decay: number): void {
  const tiny = tinyOf(values);
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as number;
    values[index] = value - rate * flushTiny((gradient[index] as number) + decay * value, tiny);
  }
}
