/** Where the channels of a group are looked at (`ChannelPlace`). */
import type { Group, Slice } from "../analysis/channels.ts";
import type { Inference } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import { Miss } from "../errors.ts";
import type { Node } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { ChannelPlace } from "./criteria/criterion.ts";

/** A tensor along an axis of which channels of a group lie. */
export interface ChannelSlice extends Slice {
  /** Whose weight it is. */
  readonly layer?: Layer;
}

/** @returns what is there, or why nothing is. */
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
      : new Miss("no normalization scales them; exporters fold those of batches into the layer before");
  }
  const read = [...new Set(readings(model, inference, group).map(({ slice }) => slice))];
  return read.length > 0 ? read : new Miss("no layer sums over them");
}

/** Layers with a weight of their own: one that several nodes share counts once. */
function madeBy({ layers, slices }: Group): readonly ChannelSlice[] {
  const own = layers.filter((layer, index) => layers.findIndex((other) => other.weight === layer.weight) === index);
  return own.flatMap((layer) => {
    const slice = slices.find(({ value, axis }) => value === layer.effective && axis === layer.role.out);
    return slice === undefined ? [] : { ...slice, layer };
  });
}

function isScale({ node, input }: { readonly node: Node; readonly input: number }, inference: Inference): boolean {
  const bound = inference.at(node);
  return !(bound instanceof Miss) && bound.scales().includes(input) && bound.parameters().includes(input);
}

/** Where a layer reads the channels, which it sums over. */
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
    node.inputs.flatMap((value, input) => {
      const slice = slices.find((one) => one.value === value && inference.operand(one.value)?.stored === false);
      return slice === undefined ? [] : { node, input, slice };
    }),
  );
}
