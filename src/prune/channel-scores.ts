/**
 * How much a channel matters: the size of the scores of its entries, which are the weights unless another criterion is given.
 *
 * For each layer whose output channels are cut together, the sum of |w|ⁿ over the slice of its scores that makes the unit, relative to the
 * mean over the layer's units; then the mean over the layers. So neither a layer's scale nor its number of inputs decides, and units
 * of different groups can be compared. (Torch-Pruning divides by the mean of the group, after the mean over layers.)
 *
 * w is what the layer reads, not what is stored: masked entries are 0, and integers count times the scale of their channel. With a scale per
 * channel the integers alone say nothing, for the largest of each channel is 127.
 */
import type { Group } from "../analysis/channels.ts";
import type { Layer } from "../analysis/layers.ts";
import type { Engine } from "../engine/index.ts";
import { Miss } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { readStoredValue } from "../passes/stored.ts";
import { toFloat64 } from "../tensor/convert.ts";
import type { Scorer } from "./importance.ts";
import { channelNorms } from "./mask.ts";

/** How channels are ranked: by a norm of the scores of their entries. */
export interface ChannelScorer {
  readonly scorer: Scorer;
  readonly norm: 1 | 2;
  readonly engine: Engine;
}

/** A score for each unit of a group, 1 on average; or why one of its layers has none. */
export async function scoreUnits(model: Model, group: Group, by: ChannelScorer): Promise<Float64Array | Miss> {
  const sums = new Float64Array(group.units);
  const members = new Float64Array(group.units);
  for (const layer of distinct(group.layers)) {
    const own = await layerScores(model, group, layer, by);
    if (own instanceof Miss) return own;
    for (const [unit, score] of own) {
      sums[unit] = (sums[unit] ?? 0) + score;
      members[unit] = (members[unit] ?? 0) + 1;
    }
  }
  return sums.map((sum, unit) => sum / Math.max(1, members[unit] ?? 0));
}

/** Layers with a weight of their own: one that several nodes share counts once. */
function distinct(layers: readonly Layer[]): readonly Layer[] {
  return layers.filter((layer, index) => layers.findIndex((other) => other.weight === layer.weight) === index);
}

async function layerScores(
  model: Model,
  group: Group,
  layer: Layer,
  { scorer, norm, engine }: ChannelScorer,
): Promise<ReadonlyMap<number, number> | Miss> {
  const { effective, role } = layer;
  const dense = await readStoredValue(model, effective, engine);
  const values = scorer.scores(layer, dense.dims, toFloat64(dense));
  if (values instanceof Miss) return values;
  const scores = new Map<number, number>();
  for (const slice of group.slices) {
    if (slice.value !== effective || slice.axis !== role.out) continue;
    const norms = channelNorms(values, dense.dims, slice.axis, norm);
    slice.unitOf.forEach((unit, index) => {
      if (unit >= 0) scores.set(unit, (scores.get(unit) ?? 0) + (norms[index] ?? 0) ** norm);
    });
  }
  const mean = [...scores.values()].reduce((sum, score) => sum + score, 0) / Math.max(1, scores.size);
  return mean === 0 ? scores : new Map([...scores].map(([unit, score]) => [unit, score / mean]));
}
