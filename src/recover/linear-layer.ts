/**
 * A layer as the matrices that least squares are about: y = P w + b, with a row of P for each place of each sample.
 *
 * What P is, a layer says itself: given, instead of its weight, one that picks a single number of what it sees for each output, it answers
 * with P (for a convolution the patches that its kernel sees, for a product the data). So nothing here knows an operator. In groups each has
 * a P of its own:
 *
 *     weight (outputs, inputs, taps)     picks (inputs · taps, inputs, taps), picks[f, i, t] = 1 where f = i · taps + t
 */
import { type Inference, infer } from "../analysis/infer.ts";
import type { Layer } from "../analysis/layers.ts";
import { maskedAt } from "../analysis/masks.ts";
import { requireWeight, weightMatrices, weightNeeds, weightNumbers, weightShape } from "../analysis/weight.ts";
import type { Engine } from "../engine/engine.ts";
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { identity, type Matrix, matrix, transpose } from "../math/index.ts";
import { readStoredValue } from "../passes/stored.ts";
import { fromNumbers, isFloat, toFloat64 } from "../tensor/convert.ts";
import { inMemory } from "../tensor/dense.ts";
import { type AxisLayout, elementCount, fixedDims } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";
import { biased } from "./biased.ts";
import { layerIn, type Matched } from "./match.ts";
import type { Edit } from "./stage.ts";

export interface LinearLayer {
  readonly groups: number;
  /** Of each group. */
  readonly features: number;
  readonly outputs: number;
  /** For each group its weights, features × outputs. */
  readonly weights: readonly Matrix[];
  /** The bias of each output channel. */
  readonly bias: Float64Array;
  /** Whether the bias may change: it is stored as floats, or there is a place for one. */
  readonly takesBias: boolean;
}

/** Features of a group at most: their products are a matrix of as many rows and columns. */
const mostFeatures = 2304;

/** The layer as matrices, or why it has none. */
export async function linearLayer(
  model: Model,
  layer: Layer,
  inference: Inference,
  engine: Engine,
): Promise<LinearLayer | Miss> {
  const { role, effective, name } = layer;
  const sum = biased(layer, inference)?.sum;
  const bias = sum?.vector ?? layer.bias;
  const no = (reason: string): Miss => new Miss(reason, name);
  const miss = requireWeight(layer, weightNeeds.solve);
  if (miss !== undefined) return miss;
  if (role.groups > 1 && role.out !== 0) return no("its outputs are grouped");
  const dense = await readStoredValue(model, effective, engine);
  const { outputs, inputs, taps } = weightShape(role, dense.dims);
  const features = inputs * taps;
  if (features > mostFeatures)
    return no(`it has ${features} weights for each output; up to ${mostFeatures} are solved for`);
  const weights = weightMatrices(role, dense.dims, toFloat64(dense)).map(transpose);
  const known = bias === undefined ? new Float64Array(1) : toFloat64(await readStoredValue(model, bias, engine));
  const stored = bias === undefined || (bias.tensor !== undefined && isFloat(bias.tensor.type));
  return {
    ...{ groups: role.groups, features, outputs, weights },
    bias: Float64Array.from({ length: layer.outputs }, (_, channel) => known[known.length === 1 ? 0 : channel] ?? 0),
    takesBias:
      (role.biasInput !== undefined || sum !== undefined) &&
      stored &&
      (known.length === 1 || known.length === layer.outputs),
  };
}

/** A copy of the model in which the layer's output has the rows of P, for all groups along the axis of channels; and its name. */
export function featuresOf(model: Model, matched: Matched): { readonly model: Model; readonly output: string } | Miss {
  const probe = model.clone();
  const layer = layerIn(probe, infer(probe), matched);
  const dims = layer?.effective.type?.dims;
  const output = layer?.node.outputs[0];
  if (layer === undefined || output === undefined || dims === undefined)
    return new Miss("its weight has no known size");
  const { node, role } = layer;
  const own = dims.map(Number);
  const { inputs, taps } = weightShape(role, own);
  const features = inputs * taps;
  const shape = own.map((dim, axis) => (axis === role.out ? features * role.groups : dim));
  const picks = weightNumbers(role, shape, new Array<Matrix>(role.groups).fill(identity(features)));
  const type = layer.effective.type?.type ?? "float32";
  const store = (name: string, dims: readonly number[], numbers: Float64Array): Value =>
    probe.graph.addTensor(name, inMemory(fromNumbers(isFloat(type) ? type : "float32", dims, numbers)));
  probe.graph.setInput(node, role.input, store("picks", shape, picks));
  // Zeros, where there was a bias: before opset 11 a Gemm has one in any case.
  for (const input of new Set([role.bias, role.biasInput])) {
    const dims = input === undefined ? undefined : fixedDims(node.inputs[input]?.type?.dims);
    if (input === undefined || dims === undefined) continue;
    const now = dims.map((dim) => (dim === layer.outputs ? (shape[role.out] ?? dim) : dim));
    probe.graph.setInput(node, input, store("zeros", now, new Float64Array(elementCount(now))));
  }
  output.type = undefined;
  output.inferred = undefined;
  return { model: probe, output: output.name };
}

/** The edit that puts other weights into a layer; those that a mask hides stay. */
export function putWeights(matched: Matched, weights: readonly Matrix[]): Edit {
  return async (model) => {
    const layer = layerIn(model, infer(model), matched);
    const tensor = layer?.weight.tensor;
    if (layer === undefined || tensor === undefined || !isFloat(tensor.type)) return;
    const before = await tensor.read();
    const mask = maskedAt(layer.weight)?.mask.tensor;
    const shown = mask === undefined ? undefined : toFloat64(await mask.read());
    const hidden = toFloat64(before);
    const values = weightNumbers(layer.role, before.dims, weights.map(transpose)).map((value, at) =>
      shown?.[at] === 0 ? (hidden[at] ?? 0) : value,
    );
    layer.weight.tensor = inMemory(fromNumbers(tensor.type, before.dims, values));
  };
}

/** Rows at some places of a value: n × channels `from` to before `to` along the axis. */
export function rowsAt(
  dense: Dense,
  layout: AxisLayout,
  places: ArrayLike<number>,
  channels: readonly number[],
  extra = 0,
): Matrix {
  // Few of many numbers are taken: they are not all converted for that.
  const values = dense.type === "float32" ? dense.data : toFloat64(dense);
  const { count: size, inner } = layout;
  const width = channels.length + extra;
  const rows = matrix(places.length, width);
  for (let row = 0; row < places.length; row++) {
    const place = places[row] ?? 0;
    const start = Math.floor(place / inner) * size * inner + (place % inner);
    for (let column = 0; column < channels.length; column++)
      rows.data[row * width + column] = values[start + (channels[column] ?? 0) * inner] ?? 0;
    for (let column = channels.length; column < width; column++) rows.data[row * width + column] = 1;
  }
  return rows;
}
