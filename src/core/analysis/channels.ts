/**
 * Channels that must be cut together. Each output channel of each layer starts as a unit; units spread over positions (indices along axes)
 * through the links of operators, forward and backward, and merge where they meet. Layers that share units form a group.
 * If none of several alternative axes applies (`spread.ts`), the units of each image of one axis merge: a head of an attention layer, or the same
 * position in each group of a grouped convolution. It is the outermost axis of which not all units are refused; refused axes stay whole.
 * The time is proportional to nodes × channels, times a few sweeps.
 */
import type { Miss } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { groupBy } from "../tensor/group-by.ts";
import { type Rule, rulesOf } from "./channel-links.ts";
import { refusals } from "./channel-refusals.ts";
import type { Inference } from "./infer.ts";
import { type Layer, layers as layersOf } from "./layers.ts";
import { type Alternatives, alternativesIn, closedLinks, spread } from "./spread.ts";
import { type Slice, unitGroups } from "./unit-groups.ts";
import { type Along, Labels, sizeAlong } from "./units.ts";

export type { Slice };

/** Channels of layers that compete with each other. Any unit that is not refused can be removed alone. */
export interface Group {
  readonly layers: readonly Layer[];
  readonly units: number;
  readonly slices: readonly Slice[];
  readonly refused: ReadonlyMap<number, Miss>;
  /** Whether units are on an inner one of merged axes: positions in heads, while the heads stay. */
  readonly inner: boolean;
}

export interface ChannelOptions {
  /** Allows cuts of channels that are normalized or averaged together. Statistics then cover fewer channels, so the result is not exact. */
  readonly throughNorms?: boolean | undefined;
}

export function outputsOf({ slices }: Pick<Group, "slices">, { effective, role }: Layer): Slice | undefined {
  return slices.find(({ value, axis }) => value === effective && axis === role.out);
}

/** Returns the units of a group that can be removed. */
export function removable(group: Group): readonly number[] {
  return Array.from({ length: group.units }, (_, unit) => unit).filter((unit) => !group.refused.has(unit));
}

/** The number of removable layer output channels; as tie-breakers, those in outermost units (complete heads), then units. */
export type Freedom = readonly [channels: number, outermost: number, units: number];

/** Positive if more can be removed by the first than by the second. */
export const compareFreedom = (a: Freedom, b: Freedom): number => a[0] - b[0] || a[1] - b[1] || a[2] - b[2];

export function freedomOf(groups: readonly Group[]): Freedom {
  let [channels, outermost, units] = [0, 0, 0];
  for (const group of groups) {
    const free = new Set(removable(group));
    units += free.size;
    for (const layer of free.size === 0 ? [] : group.layers)
      for (const unit of outputsOf(group, layer)?.unitOf ?? []) {
        if (!free.has(unit)) continue;
        channels++;
        if (!group.inner) outermost++;
      }
  }
  return [channels, outermost, units];
}

/** Returns all channel groups of the main graph, in the order of their first layers, including those whose units are all refused. */
export function channelGroups(
  model: Model,
  inference: Inference,
  { throughNorms = false }: ChannelOptions = {},
): readonly Group[] {
  const layers = layersOf(model, inference).filter(({ role }) => role.kind !== "lookup");
  const rules = rulesOf(model, inference, throughNorms);
  const starts = layers.map(({ effective, role }) => ({ value: effective, axis: role.out }));
  const { labels, refused, inner } = settleUnits(model, rules, starts);
  return unitGroups(starts, labels, labels.ends(), refused).map(({ starts: indices, ...group }) => ({
    ...group,
    layers: indices.flatMap((index) => layers[index] ?? []),
    inner: inner.some(({ value, axis }) => group.slices.some((slice) => slice.value === value && slice.axis === axis)),
  }));
}

interface Units {
  readonly labels: Labels;
  readonly refused: ReadonlyMap<number, Miss>;
}

/** Spreads units along all alternatives, or along the first that leaves some units free if all are refused. */
function settleUnits(
  model: Model,
  rules: readonly Rule[],
  starts: readonly Along[],
): Units & { readonly inner: readonly Along[] } {
  const alternatives = alternativesIn(rules);
  const spreadUnits = (): Units => {
    const labels = new Labels();
    for (const { value, axis } of starts) if (value !== undefined) labels.start(value, axis);
    spread(rules, labels, alternatives);
    return { labels, refused: refusals(model, rules, labels, closedLinks(alternatives)) };
  };
  let units = spreadUnits();
  const isStuck = (set: Alternatives): boolean => set.chosen === undefined && freedom(set, units) === "refused";
  // Repeated layers make the same choice together: queries meet keys and values that are repeated in the same way.
  for (const alike of groupBy(alternatives.filter(isOpen), sizesOf).values())
    for (let choice = 0; choice < (alike[0]?.links.length ?? 0); choice++) {
      const tried = alike.filter(isStuck);
      if (tried.length === 0) break;
      for (const set of tried) set.chosen = set.links[choice];
      const then = spreadUnits();
      const failed = tried.filter((set) => freedom(set, then) !== "free");
      for (const set of failed) set.chosen = undefined;
      if (failed.length < tried.length) units = failed.length === 0 ? then : spreadUnits();
    }
  const inner = alternatives.filter(({ links, chosen }) => chosen !== undefined && chosen !== links[0]);
  return { ...units, inner: inner.flatMap(({ links: [link] }) => link?.to ?? []) };
}

const isOpen = ({ links }: Alternatives): boolean => links.length > 1 && links.every(({ hasImages }) => hasImages);

const sizesOf = ({ links }: Alternatives): string =>
  links.map(({ from, to }) => `${from.port} ${sizeAlong(from)} ${to.port} ${sizeAlong(to)}`).join();

/** Returns whether a unit of the shared axis can be removed ("free") or all are refused; undefined if it has no units. */
function freedom({ links: [link] }: Alternatives, { labels, refused }: Units): "free" | "refused" | undefined {
  const units = link && labels.at(link.to);
  if (units?.some((unit) => unit >= 0) !== true) return undefined;
  return units.some((unit) => unit >= 0 && !refused.has(labels.find(unit))) ? "free" : "refused";
}
