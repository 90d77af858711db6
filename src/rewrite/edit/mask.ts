/**
 * Adds masks to the graph, and folds them into their parameters:
 *   fc1.weight: float32[128, 784] parameter         fc1.weight_orig: float32[128, 784] parameter
 *                                                   fc1.weight_mask: float32[128, 784] mask
 *                                                   fc1.weight = Mul(fc1.weight_orig, fc1.weight_mask)
 * The product has the old name, so readers see the masked weight, and gradients pass through the mask.
 */
import { type Masking, maskingOf } from "#analysis";
import {
  blocksOf,
  bytesOf,
  type Dense,
  deferTensor,
  deferTensorInBlocks,
  emitInto,
  type FloatType,
  float32,
  fromNumbers,
  isFloat,
  type Model,
  mask as maskRole,
  modelError,
  PithError,
  parameter as parameterRole,
  type Tensor,
  toFloats,
  type Value,
} from "#ir";
import { raiseOpset } from "./raise-opset.ts";

/** 1 for kept entries, 0 for pruned ones. */
export type Mask = Uint8Array;

export type Scores = Float32Array | Float64Array;

/** Removes the mask if nothing else reads it. */
export async function foldMask(model: Model, masking: Masking): Promise<Value> {
  const { parameter, mask, product, node } = masking;
  const { graph } = model;
  const foldedTensor = await deferTensor(floatOf(parameter), stored(parameter).dims, createMaskedReader(masking));
  const name = product.name;
  for (const { node: reader, input } of [...product.uses]) reader.graph.setInput(reader, input, parameter);
  graph.setOutputs(graph.outputs.map((output) => (output === product ? parameter : output)));
  graph.removeNode(node);
  graph.rename(parameter, name);
  parameter.tensor = foldedTensor;
  if (mask.uses.size === 0) graph.removeValue(mask);
  return parameter;
}

/** Returns a reader of the masked parameter that does not depend on later changes of the graph. */
export function createMaskedReader({ parameter, mask }: Masking): () => Promise<Dense> {
  const [tensor, type, maskTensor] = [stored(parameter), floatOf(parameter), stored(mask)];
  return async () => product(type, tensor.dims, toFloats(await tensor.read()), toFloats(await maskTensor.read()));
}

/** Returns weights with pruned entries set to zero; `start` is the block's offset. */
export type Keep = (weights: Scores, start: number) => Scores;

export function maskBlocks(tensor: Tensor, type: FloatType, createKeep: () => Promise<Keep>): Promise<Tensor> {
  return deferTensorInBlocks(type, tensor.dims, async function* () {
    const keep = await createKeep();
    let start = 0;
    for await (const block of blocksOf(tensor)) {
      const weights = toFloats(block);
      const keptWeights = keep(weights, start);
      start += weights.length;
      // In other types, adding 0 turns -0 into 0, as in `product`.
      yield type === "float32" && keptWeights instanceof Float32Array
        ? new Uint8Array(keptWeights.buffer, keptWeights.byteOffset, keptWeights.byteLength)
        : bytesOf(
            fromNumbers(
              type,
              [keptWeights.length],
              keptWeights.map((value) => value + 0),
            ),
          );
    }
  });
}

function product(type: FloatType, dims: readonly number[], weights: Scores, mask: ArrayLike<number>): Dense<FloatType> {
  const result = type === "float64" ? new Float64Array(weights.length) : new Float32Array(weights.length);
  // A negative weight times 0 is -0: adding 0 gives all pruned entries the same bits, which compress.
  for (let index = 0; index < result.length; index++) result[index] = (weights[index] ?? 0) * (mask[index] ?? 0) + 0;
  return type === "float32" ? float32(dims, result) : fromNumbers(type, dims, result);
}

/** @throws PithError E_MODEL if a parameter is not stored as floats. */
export function floatOf(parameter: Value): FloatType {
  const { type } = stored(parameter);
  if (isFloat(type)) return type;
  throw modelError(`"${parameter.name}" is stored as ${type}: only floats are masked.`);
}

export function stored(value: Value): Tensor {
  if (value.tensor === undefined) throw modelError(`"${value.name}" is not stored.`);
  return value.tensor;
}

/** In memory, the mask has a byte per entry; reading it converts the entries to floats. */
export async function setMask(model: Model, parameter: Value, mask: Mask): Promise<Masking> {
  const { dims } = stored(parameter);
  const type = floatOf(parameter);
  const tensor = await deferTensor(type, dims, async () => fromNumbers(type, dims, mask));
  const existing = maskingOf(parameter);
  if (existing !== undefined) {
    existing.mask.tensor = tensor;
    return existing;
  }
  raiseIfPossible(model);
  const { graph } = model;
  const name = parameter.name;
  const readers = [...parameter.uses];
  const isOutput = graph.isOutput(parameter);
  graph.rename(parameter, graph.freshName(`${name}_orig`));
  parameter.role = parameterRole;
  const value = graph.addTensor(`${name}_mask`, tensor, maskRole);
  const [firstNode] = graph.nodes();
  const emit = emitInto(model, firstNode === undefined ? { by: "prune" } : { before: firstNode, by: "prune" });
  const product = emit.named(name).Mul([parameter, value]);
  product.type = { type, dims };
  for (const { node, input } of readers) node.graph.setInput(node, input, product);
  if (isOutput) graph.setOutputs(graph.outputs.map((output) => (output === parameter ? product : output)));
  const masking = maskingOf(parameter);
  if (masking === undefined) throw new Error("internal: the mask was not found again");
  return masking;
}

/** ONNX Runtime runs Mul from opset 7 on. If a model cannot be raised, masks can only be folded. */
function raiseIfPossible(model: Model): void {
  try {
    raiseOpset(model, 7);
  } catch (error) {
    if (!(error instanceof PithError) || error.code !== "E_UNSUPPORTED") throw error;
  }
}
