/** Finds the remaining channels of each value of the original: traces pruned channels of matched layers (`match-original.ts`) through other nodes. */
import { channelGroups, type Group, infer, type Layer, outputSliceOf } from "#analysis";
import { withFreeChannels } from "../../rewrite/clean-up/free-channels.ts";
import type { ModelMatch } from "../calibrate/match-original.ts";

/** Maps the name of a value to the remaining indices along each pruned axis. */
export type KeptIndices = ReadonlyMap<string, ReadonlyMap<number, readonly number[]>>;

type KeptChannels = ModelMatch["keptChannels"];

export async function keptIndicesOf({ original, keptChannels }: ModelMatch): Promise<KeptIndices> {
  if (keptChannels.size === 0) return new Map();
  const freeModel = await withFreeChannels(original);
  const inference = infer(freeModel);
  // Tries tracing through norms first; a result that does not fit the layers is wrong.
  for (const throughNorms of [true, false]) {
    const groups = channelGroups(freeModel, inference, { throughNorms });
    if (groups.every((group) => group.layers.every((layer) => hasWholeUnits(group, layer, keptChannels))))
      return traceKeptIndices(groups, keptChannels);
  }
  return new Map();
}

function traceKeptIndices(groups: readonly Group[], channelsByWeight: KeptChannels): KeptIndices {
  const keptIndices = new Map<string, Map<number, readonly number[]>>();
  for (const group of groups) {
    const units = new Set(group.layers.flatMap((layer) => unitsOf(group, layer, channelsByWeight).kept));
    if (units.size === 0) continue;
    for (const { value, axis, unitOf } of group.slices) {
      const axes = keptIndices.get(value.name) ?? new Map<number, readonly number[]>();
      keptIndices.set(value.name, axes);
      // After a concatenation, an axis belongs to several groups, each of which removes only its own indices.
      const remaining = axes.get(axis) ?? Array.from(unitOf.keys());
      axes.set(
        axis,
        remaining.filter((index) => unitOf[index] === -1 || units.has(unitOf[index] ?? -1)),
      );
    }
  }
  return keptIndices;
}

function hasWholeUnits(group: Group, layer: Layer, channelsByWeight: KeptChannels): boolean {
  const units = unitsOf(group, layer, channelsByWeight);
  const keptUnits = new Set(units.kept);
  return units.removed.every((unit) => unit < 0 || !keptUnits.has(unit));
}

function unitsOf(
  group: Group,
  layer: Layer,
  channelsByWeight: KeptChannels,
): Readonly<Record<"kept" | "removed", readonly number[]>> {
  const slice = outputSliceOf(group, layer);
  const channels = channelsByWeight.get(layer.effective.name);
  if (slice === undefined || channels === undefined) return { kept: [], removed: [] };
  const keptChannels = new Set(channels);
  const isKept = (channel: number): boolean => keptChannels.has(channel);
  const units = [...slice.unitOf];
  return {
    kept: units.filter((_, channel) => isKept(channel)),
    removed: units.filter((_, channel) => !isKept(channel)),
  };
}
