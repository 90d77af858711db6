import { type Group, outputsOf, type Slice } from "../../core/analysis/channels.ts";
import type { Inference } from "../../core/analysis/infer.ts";
import { type Layer, layers as layersOf } from "../../core/analysis/layers.ts";
import { Miss } from "../../core/errors.ts";
import type { Node } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { isFloat } from "../../core/tensor/convert.ts";
import type { ChannelPlace } from "./criteria/criterion.ts";

export interface ChannelSlice extends Slice {
  readonly layer?: Layer;
}

export function channelsAt(
  place: ChannelPlace,
  model: Model,
  inference: Inference,
  group: Group,
): readonly ChannelSlice[] | Miss {
  if (place === "layers") return madeBy(group);
  if (place === "scales") {
    const scales = group.slices.filter(({ value }) => [...value.uses].some((use) => isScale(use, inference)));
    return scales.length > 0
      ? scales
      : new Miss("no normalization scales them; exporters often fold batch normalization into the layer before it");
  }
  const read = [...new Set(readings(model, inference, group).map(({ slice }) => slice))];
  return read.length > 0 ? read : new Miss("no layer reads them");
}

/** Returns each shared weight once. */
function madeBy(group: Group): readonly ChannelSlice[] {
  const { layers } = group;
  const own = layers.filter((layer, index) => layers.findIndex((other) => other.weight === layer.weight) === index);
  return own.flatMap((layer) => {
    const slice = outputsOf(group, layer);
    return slice === undefined ? [] : { ...slice, layer };
  });
}

function isScale({ node, input }: { readonly node: Node; readonly input: number }, inference: Inference): boolean {
  const bound = inference.at(node);
  return !(bound instanceof Miss) && bound.scales().includes(input) && bound.parameters().includes(input);
}

/** An input at which a layer sums over the channels. */
export interface Reading {
  readonly node: Node;
  readonly input: number;
  readonly slice: Slice;
}

export function readings(model: Model, inference: Inference, { slices }: Group): readonly Reading[] {
  const summing = layersOf(model, inference).filter(({ effective, role }) =>
    slices.some(({ value, axis }) => value === effective && axis === role.in),
  );
  return [...new Set(summing.map(({ node }) => node))].flatMap((node) =>
    node.inputs.flatMap((_, input) => readingOf(node, input, inference, slices) ?? []),
  );
}

/** For quantized values, returns the dequantized source: the quantized value itself says nothing. */
function readingOf(node: Node, input: number, inference: Inference, slices: readonly Slice[]): Reading | undefined {
  const at = (reader: Node, from: number): Reading | undefined => {
    const slice = slices.find((one) => one.value === reader.inputs[from]);
    return slice !== undefined && inference.operand(slice.value)?.stored === false
      ? { node: reader, input: from, slice }
      : undefined;
  };
  const isOfFloats = ({ slice }: Reading): boolean => isFloat(inference.operand(slice.value)?.type ?? "int8");
  const read = at(node, input);
  const { producer } = read?.slice.value ?? {};
  if (read === undefined || isOfFloats(read) || producer === undefined) return read;
  return producer.inputs.flatMap((_, from) => at(producer, from) ?? []).find(isOfFloats);
}
