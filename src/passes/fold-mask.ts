/**
 * A mask multiplied into the parameter that it covers, which takes its old name back and stays a parameter.
 *
 *     fc1.weight = Mul(fc1.weight_orig, fc1.weight_mask)     →     fc1.weight: float32[128, 784] parameter, with zeros
 */
import type { Masked } from "../analysis/masks.ts";
import { PithError } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type FloatType, fromNumbers, isFloat, toFloats } from "../tensor/convert.ts";
import { deferred } from "../tensor/deferred.ts";
import { float32 } from "../tensor/dense.ts";
import type { Dense, Tensor } from "../tensor/types.ts";

/** Folds a mask into its parameter; the mask goes where nothing else reads it. */
export async function foldMask(model: Model, masked: Masked): Promise<Value> {
  const { parameter, mask, product, node } = masked;
  const { graph } = model;
  const folded = await deferred(floatOf(parameter), stored(parameter).dims, maskedReader(masked));
  const name = product.name;
  for (const { node: reader, input } of [...product.uses]) reader.graph.setInput(reader, input, parameter);
  graph.setOutputs(graph.outputs.map((output) => (output === product ? parameter : output)));
  graph.removeNode(node);
  graph.rename(parameter, name);
  parameter.tensor = folded;
  if (mask.uses.size === 0) graph.removeValue(mask);
  return parameter;
}

/** Reads what a parameter is behind its mask, whatever becomes of the graph meanwhile. */
export function maskedReader({ parameter, mask }: Masked): () => Promise<Dense> {
  const kept = stored(mask);
  return productReader(stored(parameter), floatOf(parameter), async () => toFloats(await kept.read()));
}

/** A parameter times its mask, computed when it is read. */
export function multiplied(tensor: Tensor, type: FloatType, mask: MaskOf): Promise<Tensor> {
  return deferred(type, tensor.dims, productReader(tensor, type, mask));
}

type MaskOf = (weights: Float32Array | Float64Array) => Promise<ArrayLike<number>>;

function productReader(tensor: Tensor, type: FloatType, mask: MaskOf): () => Promise<Dense> {
  return async () => {
    const weights = toFloats(await tensor.read());
    const kept = await mask(weights);
    if (type === "float32" && weights instanceof Float32Array && kept instanceof Uint8Array)
      return float32(tensor.dims, keptBits(weights, kept));
    const result = type === "float64" ? new Float64Array(weights.length) : new Float32Array(weights.length);
    // A negative weight times 0 is -0: adding 0 makes all pruned entries the same bits, which compress.
    for (let index = 0; index < result.length; index++) result[index] = (weights[index] ?? 0) * (kept[index] ?? 0) + 0;
    return type === "float32" ? float32(tensor.dims, result) : fromNumbers(type, tensor.dims, result);
  };
}

/** Weights where a mask of bytes holds 1, and zeros where it holds 0: −0 and −1 as integers have no bits and all. */
function keptBits(weights: Float32Array, kept: Uint8Array): Float32Array {
  const result = new Float32Array(weights.length);
  const [from, to] = [weights, result].map(
    ({ buffer, byteOffset, length }) => new Int32Array(buffer, byteOffset, length),
  );
  if (from === undefined || to === undefined) return result;
  for (let index = 0; index < to.length; index++) to[index] = (from[index] ?? 0) & -(kept[index] ?? 0);
  return result;
}

/** @throws PithError E_MODEL if a parameter is stored as anything but floats. */
export function floatOf(parameter: Value): FloatType {
  const { type } = stored(parameter);
  if (isFloat(type)) return type;
  throw new PithError("E_MODEL", `"${parameter.name}" is stored as ${type}: only floats are masked.`);
}

export function stored(value: Value): Tensor {
  if (value.tensor === undefined) throw new PithError("E_MODEL", `"${value.name}" is not stored.`);
  return value.tensor;
}
