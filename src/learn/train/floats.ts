/** Float arrays of a training. */
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
