/**
 * What comes into a layer as the rows of a matrix P, y = P w + b, with a row for each place of each sample.
 *
 * What P is, a layer says itself: given, instead of its weight, one that picks a single number of what it sees for each output, it answers
 * with P (for a convolution the patches that its kernel sees, for a product the data). So nothing here knows an operator. In groups each has
 * a P of its own:
 *
 *     weight (outputs, inputs, taps)     picks (inputs · taps, inputs, taps), picks[f, i, t] = 1 where f = i · taps + t
 *
 * Where each output is a sum over the channels of one place of the data, P is the data.
 */
import { isInside, type Layer } from "../analysis/layers.ts";
import { requireProduct, weightNumbers, weightShape } from "../analysis/weight.ts";
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { identity, type Matrix } from "../math/index.ts";
import { fromNumbers, isFloat } from "../tensor/convert.ts";
import { inMemory } from "../tensor/dense.ts";
import { type Dim, elementCount, fixedDims } from "../tensor/dims.ts";
import type { Layout } from "./statistic.ts";

export interface LayerFeatures extends Layout {
  /** The value that has the rows of P, along `axis` the features of all groups: the layer's output, once `pick` has changed the layer, or its data. */
  readonly name: string;
  /** Changes the layer in a copy of its model, or of a part of it. */
  pick?(copy: Model): void;
}

export function featuresOf(layer: Layer): LayerFeatures | Miss {
  const { node, role, effective, outputs, name } = layer;
  const dims = fixedDims(effective.type?.dims);
  const [output] = node.outputs;
  const no = (reason: string): Miss => new Miss(reason, name);
  if (output === undefined || dims === undefined) return no("its weight has no known size");
  if (role.packed !== undefined) return no("its weight is packed");
  if (isInside(layer)) return no("it is in a subgraph");
  const other = requireProduct(layer);
  if (other !== undefined) return other;
  if (role.groups > 1 && role.out !== 0) return no("its outputs are grouped");
  const { inputs, taps } = weightShape(role, dims);
  const data = taps === 1 ? plainData(layer) : undefined;
  if (data !== undefined) return { name: data.name, axis: role.dataAxis };
  const features = inputs * taps;
  const shape = dims.map((dim, axis) =>
    axis === role.out ? features * role.groups : role.outTaps?.includes(axis) ? 1 : dim,
  );
  const type = effective.type?.type ?? "float32";
  if (!isFloat(type)) return no(`its weight is codes (${type}), which are multiplied with codes`);
  return {
    name: output.name,
    axis: role.outputAxis,
    groups: role.groups,
    taps,
    pick(copy) {
      const result = copy.graph.value(output.name);
      const own = result?.producer;
      if (result === undefined || own === undefined) return;
      const store = (what: string, dims: readonly number[], numbers: Float64Array): Value =>
        copy.graph.addTensor(what, inMemory(fromNumbers(type, dims, numbers)));
      const picks = weightNumbers(role, shape, new Array<Matrix>(role.groups).fill(identity(features)));
      copy.graph.setInput(own, role.input, store("picks", shape, picks));
      // Zeros, where there was a bias: before opset 11 a Gemm has one in any case.
      for (const input of new Set([role.bias, role.biasInput])) {
        const before = input === undefined ? undefined : fixedDims(node.inputs[input]?.type?.dims);
        if (input === undefined || before === undefined) continue;
        // Of one output a bias [1, 1] has an axis of rows, too.
        const last = before.lastIndexOf(outputs);
        const now = before.map((dim, at) => (at === last ? (shape[role.out] ?? dim) : dim));
        copy.graph.setInput(own, input, store("zeros", now, new Float64Array(elementCount(now))));
      }
      result.type = undefined;
    },
  };
}

/** The data of a layer that sums over the channels of each place, as long as the output has the places of the data. */
function plainData({ node, role }: Layer): Value | undefined {
  const [data, [output]] = [node.inputs[role.data], node.outputs];
  const isPlain =
    role.groups === 1 && [role.stack, role.outTaps, role.fused, role.scaled].every((one) => one === undefined);
  if (!isPlain || role.window?.strides.some((stride) => stride !== 1) === true) return undefined;
  const [before, after] = [places(data, role.dataAxis), places(output, role.outputAxis)];
  const isSame = before?.length === after?.length && before?.every((dim, at) => dim === after?.[at]) === true;
  return isSame ? data : undefined;
}

const places = (value: Value | undefined, axis: number): readonly Dim[] | undefined =>
  value?.type?.dims?.filter((_, at, { length }) => at !== (axis < 0 ? axis + length : axis));

/** Bytes of the features of a batch. */
const mostBytes = 64 * 2 ** 20;

/** How many samples at a time keep the features of every layer small; a fraction, where one sample is too large. */
export function samplesThatFit(layers: readonly Layer[]): number {
  const bytes = layers.map(({ role, effective, node }) => {
    const dims = fixedDims(effective.type?.dims);
    if (dims === undefined) return 1;
    const { groups, inputs, taps } = weightShape(role, dims);
    const features = groups * inputs * taps;
    const behind = role.outputAxis + (role.outTaps?.length ?? 0);
    const rest = (node.outputs[0]?.type?.dims ?? []).filter(
      (_, at) => at !== 0 && (at < role.outputAxis || at > behind),
    );
    const places = fixedDims(rest);
    return 4 * features * (places === undefined ? 1024 : elementCount(places));
  });
  return mostBytes / Math.max(1, ...bytes);
}
