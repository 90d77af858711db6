/**
 * Folds a mask into its parameter, which takes its old name back and stays a parameter:
 *      fc1.weight = Mul(fc1.weight_orig, fc1.weight_mask)     →     fc1.weight: float32[128, 784] parameter, with zeros
 */
import type { Masked } from "../../core/analysis/masks.ts";
import { PithError } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Scores } from "../../core/math/smallest.ts";
import { type FloatType, fromNumbers, isFloat, toFloats } from "../../core/tensor/convert.ts";
import { deferred, deferredInBlocks } from "../../core/tensor/deferred.ts";
import { bytesOf, float32 } from "../../core/tensor/dense.ts";
import { blocksOf } from "../../core/tensor/part.ts";
import type { Dense, Tensor } from "../../core/tensor/types.ts";

/** Folds a mask into its parameter; removes the mask if nothing else reads it. */
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

/** Returns a reader of the masked parameter that does not depend on later changes of the graph. */
export function maskedReader({ parameter, mask }: Masked): () => Promise<Dense> {
  const [tensor, type, kept] = [stored(parameter), floatOf(parameter), stored(mask)];
  return async () => product(type, tensor.dims, toFloats(await tensor.read()), toFloats(await kept.read()));
}

/** Returns consecutive blocks of weights with pruned entries set to zero; `start` is the block's offset. */
export type Keep = (weights: Scores, start: number) => Scores;

export function keptBy(tensor: Tensor, type: FloatType, open: () => Promise<Keep>): Promise<Tensor> {
  return deferredInBlocks(type, tensor.dims, async function* () {
    const keep = await open();
    let start = 0;
    for await (const block of blocksOf(tensor)) {
      const weights = toFloats(block);
      const kept = keep(weights, start);
      start += weights.length;
      // For other types -0 becomes 0, as in the product.
      yield type === "float32" && kept instanceof Float32Array
        ? new Uint8Array(kept.buffer, kept.byteOffset, kept.byteLength)
        : bytesOf(
            fromNumbers(
              type,
              [kept.length],
              kept.map((value) => value + 0),
            ),
          );
    }
  });
}

function product(type: FloatType, dims: readonly number[], weights: Scores, kept: ArrayLike<number>): Dense<FloatType> {
  const result = type === "float64" ? new Float64Array(weights.length) : new Float32Array(weights.length);
  // A negative weight times 0 is -0: adding 0 gives all pruned entries the same bits, which compress.
  for (let index = 0; index < result.length; index++) result[index] = (weights[index] ?? 0) * (kept[index] ?? 0) + 0;
  return type === "float32" ? float32(dims, result) : fromNumbers(type, dims, result);
}

/** @throws PithError E_MODEL if a parameter is not stored as floats. */
export function floatOf(parameter: Value): FloatType {
  const { type } = stored(parameter);
  if (isFloat(type)) return type;
  throw new PithError("E_MODEL", `"${parameter.name}" is stored as ${type}: only floats are masked.`);
}

export function stored(value: Value): Tensor {
  if (value.tensor === undefined) throw new PithError("E_MODEL", `"${value.name}" is not stored.`);
  return value.tensor;
}
