/**
 * Writes a layer as a matrix product in another format, followed by the factors and the bias of its operator:
 *
 *     y = Gemm(x, W, b) {alpha, beta}    →    y = Add(Mul(product(x), alpha), beta · b)
 */
import type { Inference, Layer } from "#analysis";
import { type Emit, emitter, float32, Miss, replaceNode, toFloat32, type Value } from "#ir";
import { keepLayerName, passOnLayerName } from "../../../rewrite/edit/keep-layer-name.ts";
import { readStoredValue } from "../../../rewrite/edit/stored-values.ts";
import { findTarget, type Target } from "../quantizable.ts";
import { oncePerRun, type WriteRun } from "./format.ts";

/** Returns the layer as a target if its weight is one stored matrix and its data has the input features along the last axis; otherwise the reason. */
export function requireMatrix(layer: Layer, inference: Inference): Target | Miss {
  const target = findTarget(layer, inference);
  if (target instanceof Miss) return target;
  const { rule, data } = target;
  const { dataAxis, packed, stack } = rule.weight;
  const rank = inference.operand(data)?.dims?.length;
  const isMatrix = layer.effective.type?.dims?.length === 2 && packed === undefined && stack === undefined;
  if (!isMatrix || rule.channelDims(1).length !== 1)
    return new Miss("only weights of matrix products have blocks", layer.name);
  if (dataAxis !== -1 && dataAxis + 1 !== rank) return new Miss("its data is transposed", layer.name);
  return target;
}

interface Product {
  readonly product: Value;
  /** The value whose node gets the name of the layer (default: the product). */
  readonly named?: Value;
}

/** Replaces a layer. @param productOf writes the product of the layer's data and weight. */
export async function writeProduct(
  emit: Emit,
  target: Target,
  run: WriteRun,
  productOf: (emit: Emit, data: Value) => Product | Promise<Product>,
): Promise<void> {
  const { layer, data } = target;
  const { node, role } = layer;
  const [output] = node.outputs;
  if (output === undefined) return;
  keepLayerName(layer);
  // The data is read from the node, because rewriting an earlier layer can replace it.
  const { product, named = product } = await productOf(emit, node.inputs[role.data] ?? data);
  const { productFactor = 1 } = role;
  const scaled = productFactor === 1 ? product : emit.named(`${output.name}_scaled`).Mul([product, productFactor]);
  const bias = await scaledBias(target, run);
  replaceNode(node, [bias === undefined ? scaled : emit.named(`${output.name}_sum`).Add([scaled, bias])]);
  passOnLayerName(layer, named);
}

const scaledBiases = oncePerRun<Value>();

/** Returns beta · b; a vector per channel in the shape of y's channels. */
async function scaledBias({ layer, rule }: Target, run: WriteRun): Promise<Value | undefined> {
  const { bias, outputs } = layer;
  if (bias === undefined) return undefined;
  const dims = rule.channelDims(outputs);
  const factor = rule.biasFactor ?? 1;
  if (factor === 1 && (dims.length === 1 || bias.type?.dims?.length !== 1)) return bias;
  return scaledBiases(run, bias, `${factor} ${dims}`, async () => {
    const dense = await readStoredValue(run.model, bias, run.context.engine);
    const scaledNumbers = factor === 1 ? toFloat32(dense) : toFloat32(dense).map((value) => value * factor);
    const isVector = dense.dims.length === 1 && scaledNumbers.length === outputs;
    const emit = emitter(bias.graph, { by: "quantize", opsets: run.model.header.opsets });
    return emit.constant(float32(isVector ? dims : dense.dims, scaledNumbers), bias.name);
  });
}
