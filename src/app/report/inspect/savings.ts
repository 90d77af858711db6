/**
 * Estimates from shapes how many bytes each technique can save, for `inspect`.
 * Removing the share f of the removable channels: of n elements, about n · Π (1 − f · r_a) remain. r_a is the removable share of axis a.
 */
import { type Group, isInSubgraph, type Layer } from "#analysis";
import { elementCount, isFloat, nodeText, type Value } from "#ir";
import { payingRank, type RemovableChannels } from "../applicable-techniques.ts";

/** Share of the removable channels that are assumed to be removed. */
const assumedShare = 0.3;

export interface Saving {
  readonly layers: number;
  readonly before: number;
  readonly after: number;
}

/** Embedding table, counted once if several layers read it. */
export interface TableSaving {
  readonly layer: string;
  /** Names of matrix products with the same weight, which share its quantized values. */
  readonly tied: readonly string[];
  readonly bytes: number;
  /** Number of bytes with 8 bits per weight. */
  readonly int8: number;
  /** Number of bytes with 4 bits per weight in blocks of 32 with zero points. */
  readonly int4: number | undefined;
}

export interface Savings {
  readonly int8: Saving;
  readonly float16: Saving;
  /** Savings if the share `share` of the removable channels is removed. */
  readonly channels: Saving & { readonly share: number; readonly cuttable: number; readonly channels: number };
  readonly lowRank: { readonly layers: number };
  /** Trained embedding tables with float values, largest first. */
  readonly tables: readonly TableSaving[];
}

/** Number of bytes of a float32 scale and an int8 zero point. */
const bytesPerChannel = 5;

export function estimateSavings(
  layers: readonly Layer[],
  groups: readonly Group[],
  channels: (layer: Layer) => RemovableChannels,
  learnedCounts: ReadonlyMap<Value, number>,
): Savings {
  const int8 = { layers: 0, before: 0, after: 0 };
  const visitedWeights = new Set<Value>();
  for (const { weight, role, outputs, inputs } of layers) {
    const { tensor } = weight;
    if (tensor?.type !== "float32") continue;
    int8.layers++;
    if (visitedWeights.has(weight)) continue;
    visitedWeights.add(weight);
    int8.before += tensor.bytes;
    int8.after += elementCount(tensor.dims) + bytesPerChannel * (role.kind === "lookup" ? inputs : outputs);
  }
  return {
    int8,
    float16: { ...int8, after: int8.before / 2 },
    channels: channelSavings(layers, groups, channels),
    lowRank: { layers: layers.filter((layer) => (payingRank(layer) ?? 0) > 0).length },
    tables: tableSavings(layers, learnedCounts),
  };
}

const blockSize = 32;

function tableSavings(layers: readonly Layer[], learnedCounts: ReadonlyMap<Value, number>): readonly TableSaving[] {
  const savings = new Map<Value, TableSaving>();
  for (const { name, weight, role, outputs: width, inputs: rows } of layers) {
    const { tensor } = weight;
    if (role.kind !== "lookup" || tensor === undefined || !isFloat(tensor.type) || !learnedCounts.has(weight)) continue;
    const readers = layers.filter((other) => other.weight === weight && other.role.kind !== "lookup");
    const blocks = width / blockSize;
    const bytesPerRow = width / 2 + 4 * blocks + Math.ceil(blocks / 2);
    savings.set(weight, {
      layer: name,
      tied: readers.map(({ node }) => nodeText(node)),
      bytes: tensor.bytes,
      int8: rows * (width + bytesPerChannel),
      int4: Number.isInteger(blocks) ? rows * bytesPerRow : undefined,
    });
  }
  return [...savings.values()].sort((a, b) => b.bytes - a.bytes);
}

function channelSavings(
  layers: readonly Layer[],
  groups: readonly Group[],
  channels: (layer: Layer) => RemovableChannels,
): Savings["channels"] {
  const keptShares = new Map<Value, number>();
  for (const { slices, refused } of groups) {
    for (const { value, unitOf } of slices) {
      if (value.tensor === undefined) continue;
      const removableShare = unitOf.filter((unit) => unit >= 0 && !refused.has(unit)).length / unitOf.length;
      keptShares.set(value, (keptShares.get(value) ?? 1) * (1 - assumedShare * removableShare));
    }
  }
  const result = { layers: 0, before: 0, after: 0, share: assumedShare, cuttable: 0, channels: 0 };
  for (const [{ tensor }, share] of keptShares) {
    if (tensor === undefined || share === 1) continue;
    result.before += tensor.bytes;
    result.after += tensor.bytes * share;
  }
  result.after = Math.round(result.after);
  for (const layer of layers.filter((each) => !isInSubgraph(each))) {
    const { cuttable } = channels(layer);
    if (cuttable > 0) result.layers++;
    result.cuttable += cuttable;
    result.channels += layer.outputs;
  }
  return result;
}
