/**
 * Computes layer inputs as the rows of a matrix P, y = P w + b, one row per position of each sample. With a weight that picks one input
 * element per output, the layer itself computes P (for a convolution the patches), so no operator needs special code:
 *
 *     weight (outputs, inputs, taps)     picks (inputs · taps, inputs, taps), picks[f, i, t] = 1 where f = i · taps + t
 *
 * For a convolution, each input channel is a separate group.
 */
import { checkProduct, isInSubgraph, type Layer, weightElements, weightShape } from "#analysis";
import { type Dim, elementCount, fixedDims, fromNumbers, inMemory, isFloat, Miss, type Model, type Value } from "#ir";
import { identity, type Matrix } from "../../core/math/matrix.ts";
import type { Layout } from "./features.ts";
import type { Statistic } from "./statistic.ts";

export interface LayerFeatures extends Layout {
  /** Name of the value that contains P along `axis`: the layer's output after `pick`, or its input. */
  readonly name: string;
  /** Replaces the weight by picks in a copy of the model, or of a part of the model. */
  pick?(copy: Model): void;
  /** Name of the layer's input, if each value of P is one of its values, or 0. */
  readonly source?: string | undefined;
}

export function featuresOf(
  layer: Layer,
  { ofTables }: Pick<Statistic<unknown>, "ofTables"> = {},
): LayerFeatures | Miss {
  const { node, role, effective, outputs, name } = layer;
  const dims = fixedDims(effective.type?.dims);
  const [output] = node.outputs;
  const refuse = (reason: string): Miss => new Miss(reason, name);
  if (ofTables !== undefined && role.kind === "lookup") {
    const indices = node.inputs[role.data];
    if (layer.weight.uses.size > 1) return refuse("its table has other readers");
    if (indices !== undefined && !isInSubgraph(layer)) return { name: indices.name };
  }
  if (output === undefined || dims === undefined) return refuse("its weight has no known size");
  if (role.packed !== undefined) return refuse("its weight is packed");
  if (isInSubgraph(layer)) return refuse("it is in a subgraph");
  const refusal = checkProduct(layer);
  if (refusal !== undefined) return refusal;
  if (role.groups > 1 && role.out !== 0) return refuse("its outputs are grouped");
  const { inputs, taps } = weightShape(role, dims);
  const data = taps === 1 ? pointwiseInput(layer) : undefined;
  if (data !== undefined) return { name: data.name, axis: role.dataAxis };
  const features = inputs * taps;
  const { window } = role;
  const singleInputAxes = window === undefined ? [] : [role.in];
  const pickingRole = { ...role, groups: window === undefined ? role.groups : role.groups * inputs };
  const shape = dims.map((dim, axis) =>
    axis === role.out ? features * role.groups : [...singleInputAxes, ...(role.outTaps ?? [])].includes(axis) ? 1 : dim,
  );
  const type = effective.type?.type ?? "float32";
  if (!isFloat(type)) return refuse(`its weight is codes (${type}), which are multiplied with codes`);
  const isExact = [role.stack, role.fused, role.productFactor].every((setting) => setting === undefined);
  return {
    name: output.name,
    axis: role.outputAxis,
    groups: role.groups,
    taps,
    source: isExact ? node.inputs[role.data]?.name : undefined,
    pick(copy) {
      const result = copy.graph.value(output.name);
      const producer = result?.producer;
      if (result === undefined || producer === undefined) return;
      const store = (label: string, dims: readonly number[], numbers: Float64Array): Value =>
        copy.graph.addTensor(label, inMemory(fromNumbers(type, dims, numbers)));
      const size = (features * role.groups) / pickingRole.groups;
      const picks = weightElements(pickingRole, shape, new Array<Matrix>(pickingRole.groups).fill(identity(size)));
      copy.graph.setInput(producer, role.input, store("picks", shape, picks));
      if (window !== undefined)
        copy.graph.setAttribute(producer, window.groups, { kind: "int", value: pickingRole.groups });
      // A bias is replaced by zeros and not removed, because before opset 11 Gemm requires a bias.
      for (const input of new Set([role.bias, role.biasInput])) {
        const oldDims = input === undefined ? undefined : fixedDims(node.inputs[input]?.type?.dims);
        if (input === undefined || oldDims === undefined) continue;
        // The channel axis is the last one of this size: with one output, a bias [1, 1] has two axes of size 1.
        const last = oldDims.lastIndexOf(outputs);
        const newDims = oldDims.map((dim, index) => (index === last ? (shape[role.out] ?? dim) : dim));
        copy.graph.setInput(producer, input, store("zeros", newDims, new Float64Array(elementCount(newDims))));
      }
      result.type = undefined;
    },
  };
}

/** Returns the input of a layer whose outputs are sums over the channels of one position. */
function pointwiseInput({ node, role }: Layer): Value | undefined {
  const [data, [output]] = [node.inputs[role.data], node.outputs];
  const isPointwise =
    role.groups === 1 &&
    [role.stack, role.outTaps, role.fused, role.productFactor].every((setting) => setting === undefined);
  if (!isPointwise || role.window?.strides.some((stride) => stride !== 1) === true) return undefined;
  const [before, after] = [positionDims(data, role.dataAxis), positionDims(output, role.outputAxis)];
  const isSame = before?.length === after?.length && before?.every((dim, index) => dim === after?.[index]) === true;
  return isSame ? data : undefined;
}

const positionDims = (value: Value | undefined, axis: number): readonly Dim[] | undefined =>
  value?.type?.dims?.filter((_, index, { length }) => index !== (axis < 0 ? axis + length : axis));

/** Maximum bytes of the features of a batch. */
const maxBytes = 64 * 2 ** 20;

/** Returns a batch size, which can be below 1. */
export function samplesThatFit(layers: readonly Layer[]): number {
  const bytes = layers.map((layer) => {
    const { features, positions = 1024 } = featureSizes(layer) ?? { features: 0 };
    return 4 * features * positions;
  });
  return maxBytes / Math.max(1, ...bytes);
}

interface FeatureSizes {
  readonly features: number;
  readonly perGroup: number;
  /** Number of rows of a sample; undefined if the dimensions are not fixed. */
  readonly positions: number | undefined;
}

export function featureSizes({ role, effective, node }: Layer): FeatureSizes | undefined {
  const dims = fixedDims(effective.type?.dims);
  if (dims === undefined) return undefined;
  const { groups, inputs, taps } = weightShape(role, dims);
  const perGroup = inputs * taps;
  const lastAxis = role.outputAxis + (role.outTaps?.length ?? 0);
  const positions = fixedDims(
    node.outputs[0]?.type?.dims?.filter((_, axis) => axis !== 0 && (axis < role.outputAxis || axis > lastAxis)) ?? [],
  );
  return {
    features: role.packed?.inputs ?? groups * perGroup,
    perGroup,
    positions: positions && elementCount(positions),
  };
}
