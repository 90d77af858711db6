/**
 * Finds channels that can only be removed together. Such a set of channels is a unit.
 * 1. Each output channel of each layer, except embeddings, starts as a separate unit.
 * 2. Units spread through the links of operators, forward and backward. Units that meet at one index merge.
 * 3. Layers that share units form a group.
 * From an axis that a Reshape merged, units spread to one of its parts: as complete attention heads, or as positions within heads.
 */
import { groupBy, type Miss, type Model } from "#graph";
import { sizeAlong, UnitLabels, type ValueAxis } from "./channel-labels.ts";
import { type ChannelRule, channelRules } from "./channel-links.ts";
import { findRefusals } from "./channel-refusals.ts";
import type { Inference } from "./infer.ts";
import { type Layer, layers as layersOf } from "./layers.ts";
import { type Alternatives, closedLinks, findAlternatives, spread } from "./spread-labels.ts";
import { type Slice, unitGroups } from "./unit-groups.ts";

export type { Slice };

/** Layers whose channels are removed together. Units that are not in `refused` can be removed individually. */
export interface Group {
  readonly layers: readonly Layer[];
  readonly units: number;
  readonly slices: readonly Slice[];
  readonly refused: ReadonlyMap<number, Miss>;
  /** Whether the units are positions on an inner part of a merged axis. */
  readonly isInner: boolean;
}

export interface ChannelOptions {
  /** Allows removal of channels that are normalized together, although their statistics change. */
  readonly throughNorms?: boolean | undefined;
}

/** Returns whether a node computes statistics over an axis. */
export const hasStatistics = ({ graph }: Model, inference: Inference): boolean =>
  [...graph.nodes()].some((node) =>
    inference.facet(node, "axes")?.links.some((link) => "refuses" in link && link.statistics !== undefined),
  );

export function outputSliceOf({ slices }: Pick<Group, "slices">, { effective, role }: Layer): Slice | undefined {
  return slices.find(({ value, axis }) => value === effective && axis === role.out);
}

export function freeUnits(group: Group): readonly number[] {
  return Array.from({ length: group.units }, (_, unit) => unit).filter((unit) => !group.refused.has(unit));
}

/** How many output channels of layers can be removed. Ties are broken by complete heads, then by the number of units. */
export type FreeCounts = readonly [channels: number, outermost: number, units: number];

export const compareFree = (a: FreeCounts, b: FreeCounts): number => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];

export function countFree(groups: readonly Group[]): FreeCounts {
  let [channels, outermost, units] = [0, 0, 0];
  for (const group of groups) {
    const free = new Set(freeUnits(group));
    units += free.size;
    for (const layer of free.size === 0 ? [] : group.layers)
      for (const unit of outputSliceOf(group, layer)?.unitOf ?? []) {
        if (!free.has(unit)) continue;
        channels++;
        if (!group.isInner) outermost++;
      }
  }
  return [channels, outermost, units];
}

/** Returns the channel groups of the main graph in the order of their first layers. */
export function channelGroups(
  model: Model,
  inference: Inference,
  { throughNorms = false }: ChannelOptions = {},
): readonly Group[] {
  const layers = layersOf(model, inference).filter(({ role }) => role.kind !== "lookup");
  const rules = channelRules(model, inference, throughNorms);
  const starts = layers.map(({ effective, role }) => ({ value: effective, axis: role.out }));
  const { labels, refused, inner } = findUnits(model, rules, starts);
  return unitGroups(starts, labels, labels.labeledAxes(), refused).map(({ starts: indices, ...group }) => ({
    ...group,
    layers: indices.flatMap((index) => layers[index] ?? []),
    isInner: inner.some(({ value, axis }) =>
      group.slices.some((slice) => slice.value === value && slice.axis === axis),
    ),
  }));
}

interface LabeledUnits {
  readonly labels: UnitLabels;
  readonly refused: ReadonlyMap<number, Miss>;
}

/** Spreads units along all alternative links. If all units of an axis are refused, chooses the first link for which a unit is removable. */
function findUnits(
  model: Model,
  rules: readonly ChannelRule[],
  starts: readonly ValueAxis[],
): LabeledUnits & { readonly inner: readonly ValueAxis[] } {
  const alternatives = findAlternatives(rules);
  const computeUnits = (): LabeledUnits => {
    const labels = new UnitLabels();
    for (const { value, axis } of starts) if (value !== undefined) labels.assignNewUnits(value, axis);
    spread(rules, labels, alternatives);
    return { labels, refused: findRefusals(model, rules, labels, closedLinks(alternatives)) };
  };
  let units = computeUnits();
  const isStuck = (set: Alternatives): boolean => set.chosen === undefined && freedomOf(set, units) === "refused";
  // Operators with equal sizes get the same choice, because their units meet: those of queries meet those of keys.
  // Last, all sets get one choice: a key head that all query heads share has none, so that queries and their outputs must agree.
  const open = alternatives.filter(({ links }) => links.length > 1 && links.every(({ hasImages }) => hasImages));
  for (const similar of [...groupBy(open, sizesOf).values(), open])
    for (let choice = 0; choice < (similar[0]?.links.length ?? 0); choice++) {
      let chosenSets = similar.filter(isStuck);
      for (const set of chosenSets) set.chosen = set.links[choice];
      while (chosenSets.length > 0) {
        const result = computeUnits();
        const freeSets = chosenSets.filter((set) => freedomOf(set, result) === "free");
        if (freeSets.length === chosenSets.length) units = result;
        for (const set of chosenSets) if (!freeSets.includes(set)) set.chosen = undefined;
        chosenSets = freeSets.length === chosenSets.length ? [] : freeSets;
      }
    }
  const inner = alternatives.filter(({ links, chosen }) => chosen !== undefined && chosen !== links[0]);
  return { ...units, inner: inner.flatMap(({ links: [link] }) => link?.to ?? []) };
}

const sizesOf = ({ links }: Alternatives): string =>
  links.map(({ from, to }) => `${from.port} ${sizeAlong(from)} ${to.port} ${sizeAlong(to)}`).join();

/** Returns "free" if at least one unit of the merged axis can be removed. Undefined if the axis has no units. */
function freedomOf({ links: [link] }: Alternatives, { labels, refused }: LabeledUnits): "free" | "refused" | undefined {
  const units = link && labels.unitsAt(link.to);
  if (units?.some((unit) => unit >= 0) !== true) return undefined;
  return units.some((unit) => unit >= 0 && !refused.has(labels.rootOf(unit))) ? "free" : "refused";
}
