/**
 * Batch normalization into the layer before it. With stored statistics it multiplies and shifts each channel c of the layer's output:
 *
 *     s_c = scale_c / √(variance_c + ε)
 *     (W_c · x + b_c - mean_c) · s_c + bias_c  =  (W_c · s_c) · x  +  (b_c - mean_c) · s_c + bias_c
 *
 *     h = Conv(x, conv.weight)                                   y = Conv(x, conv.weight, conv.bias)
 *     y = BatchNormalization(h, scale, bias, mean, variance)
 *
 * A mask on the weight stays: its product is linear in the weight. Numbers are computed in float64 and rounded once.
 * Values with a role are still being trained and stay, unless the caller knows better.
 */
import * as v from "valibot";
import { type Inference, infer } from "../analysis/infer.ts";
import { type Layer, layerAt } from "../analysis/layers.ts";
import { maskedAt } from "../analysis/masks.ts";
import { Miss } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import { describe, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { decimal, integer } from "../ops/attributes.ts";
import { fromNumbers, toFloat64 } from "../tensor/convert.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import { fixedDims } from "../tensor/dims.ts";
import type { Dense, Tensor } from "../tensor/types.ts";
import { keepLayerName } from "./keep-layer-name.ts";
import { type Change, definePass, type Outcome } from "./pass.ts";

/**
 * Folds each batch normalization with stored statistics into the layer before it. What has a role stays; what cannot be folded is listed.
 *
 * Source: the algebra above; ONNX Runtime folds Conv alone, and when it loads the model.
 * @example
 * ```ts
 * const { changes, misses } = await fuseBatchNorm(model);
 * ```
 */
export const fuseBatchNorm = definePass({
  id: "fuse-batch-norm",
  summary: "Fold batch normalization into the layer before it",
  options: v.strictObject({}),
  run: (model) => fuseBatchNorms(model, { trained: false }),
});

/**
 * Folds every batch normalization that follows a layer, in place.
 * @param options `trained`: also where parameters have that role, because training is over; `into`: the layers that may change (all).
 */
export async function fuseBatchNorms(
  model: Model,
  options: { readonly trained: boolean; readonly into?: (layer: Layer) => boolean },
): Promise<Outcome> {
  const inference = infer(model);
  const changes: Change[] = [];
  const misses: Miss[] = [];
  for (const node of model.graph.nodes()) {
    if (node.op !== "BatchNormalization" || node.domain !== "") continue;
    const layer = layerBefore(node, inference);
    if (!(layer instanceof Miss) && options.into?.(layer) === false) continue;
    const found = layer instanceof Miss ? layer : match(node, layer, inference, options.trained);
    if (found instanceof Miss) misses.push(new Miss(found.reason, describe(node)));
    else {
      await fold(model, node, found, inference);
      changes.push({ at: found.layer.name, what: "batch normalization folded in", decidedBy: "global" });
    }
  }
  return { changes, misses };
}

interface Match {
  readonly layer: Layer;
  readonly epsilon: number;
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  /** Scale, bias, mean, variance. */
  readonly statistics: readonly [Tensor, Tensor, Tensor, Tensor];
}

/** Where a layer takes its bias. MatMul takes none: the shift becomes an Add. */
const biasInput: Readonly<Record<string, number>> = { Conv: 2, ConvTranspose: 2, Gemm: 2 };

function layerBefore(node: Node, inference: Inference): Layer | Miss {
  const producer = node.inputs[0]?.producer;
  const layer = producer === undefined ? undefined : layerAt(producer, inference);
  return layer === undefined || layer instanceof Miss ? new Miss("follows no layer") : layer;
}

function match(node: Node, layer: Layer, inference: Inference, trained: boolean): Match | Miss {
  const site = inference.site(node);
  if (integer(site, "training_mode", 0) !== 0) return new Miss("uses the statistics of the batch");
  if (node.outputs.slice(1).some((output) => output !== undefined)) return new Miss("its statistics are outputs");
  const [x, ...vectors] = node.inputs;
  const statistics = vectors.map((value) => value?.tensor);
  const [scale, shift, mean, variance] = statistics;
  if (x === undefined) return new Miss("follows no layer");
  if (scale === undefined || shift === undefined || mean === undefined || variance === undefined)
    return new Miss("its statistics are computed");
  if (x.uses.size > 1 || node.graph.outputs.includes(x)) return new Miss("the layer's own output is used elsewhere");
  if (layer.role.fused !== undefined) return new Miss(`${layer.role.fused} stands between, fused into the layer`);
  if (layer.role.outputAxis !== 1) return new Miss("normalizes another axis than the layer's channels");
  const { weight, bias, effective } = layer;
  if (weight.tensor?.type !== "float32") return new Miss("the layer's weight is not float32");
  if (effective !== weight && maskedAt(weight)?.product !== effective)
    return new Miss("the layer's weight is computed");
  if (weight.uses.size > 1 || effective.uses.size > 1) return new Miss("the layer's weight is shared");
  const input = biasInput[layer.node.op];
  if (input !== undefined && layer.node.inputs[input] !== bias) return new Miss("the layer's bias is computed");
  if (bias !== undefined && bias.tensor === undefined) return new Miss("the layer's bias is computed");
  if (bias !== undefined && decimal(inference.site(layer.node), "beta", 1) !== 1)
    return new Miss("the layer scales its bias");
  const held = [weight, bias, ...vectors];
  const role = held.find((value) => value?.role !== undefined && (!trained || value.role.kind === "tied"));
  if (role !== undefined) return new Miss(`"${role.name}" is ${role.role?.kind}: finalize the model first`);
  return {
    layer,
    epsilon: decimal(site, "epsilon", 1e-5),
    weight: weight.tensor,
    bias: bias?.tensor,
    statistics: [scale, shift, mean, variance],
  };
}

async function fold(model: Model, node: Node, found: Match, inference: Inference): Promise<void> {
  const { layer, epsilon, statistics } = found;
  const [scale, shift, mean, variance] = (await Promise.all(statistics.map((tensor) => tensor.read()))).map(toFloat64);
  const channels = layer.outputs;
  const at = (values: Float64Array | undefined, channel: number): number => values?.[channel] ?? 0;
  const factors = Float64Array.from(
    { length: channels },
    (_, channel) => at(scale, channel) / Math.sqrt(at(variance, channel) + epsilon),
  );
  const before = found.bias === undefined ? undefined : toFloat64(await found.bias.read());
  const bias = Float64Array.from({ length: channels }, (_, channel) => {
    const own = before === undefined ? 0 : at(before, before.length === 1 ? 0 : channel);
    return (own - at(mean, channel)) * at(factors, channel) + at(shift, channel);
  });
  keepLayerName(layer);
  layer.weight.tensor = inMemory(scaled(await found.weight.read(), layer, factors));
  const [x] = node.inputs;
  const [y] = node.outputs;
  if (x === undefined || y === undefined) return;
  const input = biasInput[layer.node.op];
  const result = input === undefined ? addedTo(model, node, x, layer, bias, inference) : x;
  if (input !== undefined) model.graph.setInput(layer.node, input, storedBias(model, layer, bias));
  const { name } = y;
  model.graph.replaceUses(y, result);
  const vectors = node.inputs.slice(1);
  model.graph.removeNode(node);
  if (result.name !== name && model.graph.ownValue(name) === undefined) model.graph.rename(result, name);
  for (const value of [...vectors, layer.bias]) {
    if (value === undefined || value.uses.size > 0 || model.graph.ownValue(value.name) !== value) continue;
    if (!model.graph.outputs.includes(value)) model.graph.removeValue(value);
  }
}

function storedBias(model: Model, layer: Layer, bias: Float64Array): Value {
  const dims = fixedDims(layer.bias?.type?.dims);
  const fits = dims !== undefined && dims.reduce((count, dim) => count * dim, 1) === bias.length;
  const tensor = inMemory(fromNumbers("float32", fits ? dims : [bias.length], bias));
  if (layer.bias !== undefined && layer.bias.uses.size === 1 && fits) {
    layer.bias.tensor = tensor;
    return layer.bias;
  }
  return model.graph.addTensor(layer.bias?.name ?? `${layer.name}.bias`, tensor, layer.bias?.role ?? layer.weight.role);
}

function addedTo(model: Model, node: Node, x: Value, layer: Layer, bias: Float64Array, inference: Inference): Value {
  const rank = x.type?.dims?.length ?? 2;
  const emit = emitInto(model, { before: node, by: "fuse-batch-norm", onNode: inference.visit });
  const dims = [bias.length, ...new Array<number>(Math.max(0, rank - 2)).fill(1)];
  return emit.Add([x, emit.constant(float32(dims, bias), `${layer.name}.bias`, layer.weight.role)]);
}

/** The weight with each output channel times its factor. Grouped transposed convolutions count channels per group along their axis. */
function scaled(dense: Dense, layer: Layer, factors: Float64Array): Dense<"float32"> {
  const values = toFloat64(dense);
  const { out, in: inAxis, groups } = layer.role;
  const size = dense.dims[out] ?? 1;
  const inner = dense.dims.slice(out + 1).reduce((count, dim) => count * dim, 1);
  const perGroup = factors.length / size;
  const innerIn = dense.dims.slice(inAxis + 1).reduce((count, dim) => count * dim, 1);
  const inputsPerGroup = (dense.dims[inAxis] ?? 1) / groups;
  const data = new Float32Array(values.length);
  for (let index = 0; index < data.length; index++) {
    const channel = Math.floor(index / inner) % size;
    const group =
      perGroup === 1 ? 0 : Math.floor((Math.floor(index / innerIn) % (dense.dims[inAxis] ?? 1)) / inputsPerGroup);
    data[index] = (values[index] ?? 0) * (factors[group * size + channel] ?? 0);
  }
  return float32(dense.dims, data);
}
