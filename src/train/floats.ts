/** The arrays that training changes in place: parameters, gradients, and what is kept beside them. */
import type { Dense } from "../tensor/types.ts";

export type Floats = Float32Array | Float64Array;

/** Zeros, as many and of the same precision. */
export function zerosLike(values: Floats): Floats {
  return values instanceof Float32Array ? new Float32Array(values.length) : new Float64Array(values.length);
}

/** The very array, not a copy, as a tensor. */
export function denseOf(data: Floats, dims: readonly number[] = [data.length]): Dense<"float32" | "float64"> {
  return data instanceof Float32Array ? { type: "float32", dims, data } : { type: "float64", dims, data };
}

/** The numbers of a tensor, if it is so many floats. */
export function floatsOf(dense: Dense | undefined, length: number): Floats | undefined {
  if (dense?.type !== "float32" && dense?.type !== "float64") return undefined;
  return dense.data.length === length ? dense.data : undefined;
}
