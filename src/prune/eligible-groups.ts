/** Finds the groups of channels that can be cut, and why other groups or units are kept. */
import { ofStatistics } from "../analysis/channel-links.ts";
import {
  type ChannelOptions,
  channelGroups,
  type Freedom,
  freedomOf,
  type Group,
  outputsOf,
  removable,
} from "../analysis/channels.ts";
import { infer } from "../analysis/infer.ts";
import { layers as layersOf } from "../analysis/layers.ts";
import { noLayers } from "../analysis/no-layers.ts";
import { isNamed, type Selection, selectLayers } from "../analysis/selection.ts";
import { Miss, reasonText } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { groupBy } from "../tensor/group-by.ts";
import { missesOf, partsOf } from "./group-words.ts";

export type Eligibility = Selection & ChannelOptions;

export interface EligibleGroups {
  readonly groups: readonly Group[];
  readonly misses: readonly Miss[];
  readonly free: Freedom;
}

/** Groups with a selected layer and no excluded layer. */
export function eligible(model: Model, given: Eligibility): EligibleGroups {
  const inference = infer(model);
  const all = layersOf(model, inference);
  const selected = new Set(selectLayers(all, given).map((layer) => layer.node));
  const groups: Group[] = [];
  const misses: Miss[] = given.layers === undefined ? [...noLayers(model, inference, all)] : [];
  const found = channelGroups(model, inference, given);
  for (const layer of selectLayers(all, given)) {
    if (layer.role.kind !== "lookup") continue;
    if (!found.some((group) => removable(group).length > 0 && outputsOf(group, layer) !== undefined))
      misses.push(new Miss("its columns are not coupled to the channels of a layer", layer.name));
  }
  for (const group of found) {
    if (!group.layers.some((layer) => selected.has(layer.node))) continue;
    const kept = group.layers.find(({ name }) => isNamed(given.except, name));
    if (kept !== undefined) {
      const together = `its channels can only be removed together with those of "${kept.name}", which is excluded`;
      misses.push(...missesOf(group, together).filter(({ at }) => !isNamed(given.except, at ?? "")));
      continue;
    }
    for (const refused of groupBy(group.refused.values(), reasonText).values()) {
      const [{ reason, at, kind }] = refused;
      const which = refused.length === group.units ? "its channels" : `${refused.length} of its ${partsOf(group)}`;
      const remedy = kind === ofStatistics ? "; `pith prune --through-norms` allows it" : "";
      misses.push(...missesOf(group, `${which} cannot be removed: ${reason}${remedy}`, at));
    }
    if (removable(group).length > 0) groups.push(group);
  }
  return { groups, misses, free: freedomOf(groups) };
}
