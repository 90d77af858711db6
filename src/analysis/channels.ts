/**
 * Channels that must go together: what else has to be cut when an output channel of a layer is.
 *
 * A *position* is an index along an axis of a value. Each output channel of each layer starts as a unit of its own. Units spread over
 * positions through the links of the operators' entries (`axes`), forwards and backwards, until nothing changes; a position that two
 * units reach makes them one. What remains are groups: units that share no position can go one without the other, and layers that share
 * units are one group.
 *
 * Where none of several axes of one operand that link to the same axis applies (`spread.ts`), the units of each image of one of them become one: a
 * head of an attention layer, the same position in each group of a grouped convolution. It is the outermost for which what lies behind refuses not
 * all units: in a Reshape of queries, keys and values to [3, heads, size] a head, in a channel shuffle to [2, channels] a pair of channels. Where units
 * along another of these axes are refused, that axis stays whole: heads of keys that go out of the model to be read again in the next step stay, and
 * of the queries, [heads of keys, repeats] in a row, one for each of them goes.
 *
 * Costs the number of nodes times the number of channels, times a few sweeps.
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

/** Channels of one or several layers that compete with each other: any unit that is not refused can go without the others. */
export interface Group {
  readonly layers: readonly Layer[];
  readonly units: number;
  /** Every axis that a unit reaches: of weights, constants and activations. */
  readonly slices: readonly Slice[];
  readonly refused: ReadonlyMap<number, Miss>;
  /** Whether units lie along another axis than the outermost of those that are merged with it: places in heads, while the heads stay. */
  readonly inner: boolean;
}

export interface ChannelOptions {
  /**
   * Channels that are normalized together, and averaged, may go one without the others (false): means and variances are then of those that are left, so
   * the result is not the network with the others silenced.
   */
  readonly throughNorms?: boolean | undefined;
}

/** Where the units of a group lie among the output channels of a layer. */
export function outputsOf({ slices }: Pick<Group, "slices">, { effective, role }: Layer): Slice | undefined {
  return slices.find(({ value, axis }) => value === effective && axis === role.out);
}

/** The units of a group that can go. */
export function removable(group: Group): readonly number[] {
  return Array.from({ length: group.units }, (_, unit) => unit).filter((unit) => !group.refused.has(unit));
}

/** How much can go: output channels of layers; where these are as many, those in outermost units, such as whole heads; then units. */
export type Freedom = readonly [channels: number, outermost: number, units: number];

/** Above 0 where more can go by the first than by the second. */
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

/**
 * All groups of channels of the main graph, in the order of their first layers. Groups that cannot be cut at all are listed too, with
 * every unit refused.
 */
export function channelGroups(
  model: Model,
  inference: Inference,
  { throughNorms = false }: ChannelOptions = {},
): readonly Group[] {
  // Columns of a table go with the channels that they join.
  const layers = layersOf(model, inference).filter(({ role }) => role.kind !== "lookup");
  const rules = rulesOf(model, inference, throughNorms);
  const starts = layers.map(({ effective, role }) => ({ value: effective, axis: role.out }));
  const { labels, refused, inner } = settled(model, rules, starts);
  return unitGroups(starts, labels, labels.ends(), refused).map(({ starts: own, ...group }) => ({
    ...group,
    layers: own.flatMap((start) => layers[start] ?? []),
    inner: inner.some(({ value, axis }) => group.slices.some((slice) => slice.value === value && slice.axis === axis)),
  }));
}

interface Units {
  readonly labels: Labels;
  readonly refused: ReadonlyMap<number, Miss>;
}

/** Units along all alternatives; of those along which all are refused, along the first that leaves some free. */
function settled(
  model: Model,
  rules: readonly Rule[],
  starts: readonly Along[],
): Units & { readonly inner: readonly Along[] } {
  const alternatives = alternativesIn(rules);
  const unitsNow = (): Units => {
    const labels = new Labels();
    for (const { value, axis } of starts) if (value !== undefined) labels.start(value, axis);
    spread(rules, labels, alternatives);
    return { labels, refused: refusals(model, rules, labels, closedLinks(alternatives)) };
  };
  let units = unitsNow();
  const isStuck = (set: Alternatives): boolean => set.chosen === undefined && freedom(set, units) === "refused";
  // Repeated layers choose alike, and at once: queries meet keys and values that are repeated one as the other.
  for (const alike of groupBy(alternatives.filter(isOpen), sizesOf).values())
    for (let choice = 0; choice < (alike[0]?.links.length ?? 0); choice++) {
      const tried = alike.filter(isStuck);
      if (tried.length === 0) break;
      for (const set of tried) set.chosen = set.links[choice];
      const then = unitsNow();
      const failed = tried.filter((set) => freedom(set, then) !== "free");
      for (const set of failed) set.chosen = undefined;
      if (failed.length < tried.length) units = failed.length === 0 ? then : unitsNow();
    }
  const inner = alternatives.filter(({ links, chosen }) => chosen !== undefined && chosen !== links[0]);
  return { ...units, inner: inner.flatMap(({ links: [link] }) => link?.to ?? []) };
}

const isOpen = ({ links }: Alternatives): boolean => links.length > 1 && links.every(({ hasImages }) => hasImages);

const sizesOf = ({ links }: Alternatives): string =>
  links.map(({ from, to }) => `${from.port} ${sizeAlong(from)} ${to.port} ${sizeAlong(to)}`).join();

/** Of the axis that the alternatives share: whether at least one unit can go, or all are refused; undefined where it has no units. */
function freedom({ links: [link] }: Alternatives, { labels, refused }: Units): "free" | "refused" | undefined {
  const units = link && labels.at(link.to);
  if (units?.some((unit) => unit >= 0) !== true) return undefined;
  return units.some((unit) => unit >= 0 && !refused.has(labels.find(unit))) ? "free" : "refused";
}
