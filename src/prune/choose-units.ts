/** Which channels go: of the groups that an allocation ranks together, those with the lowest scores. An axis keeps one index at least. */
import { type Group, outputsOf, removable } from "../analysis/channels.ts";
import type { Removal } from "../analysis/cut.ts";
import type { Value } from "../graph/graph.ts";
import { groupBy } from "../tensor/group-by.ts";
import { roundHalfEven } from "../tensor/round.ts";

export interface ScoredGroup {
  readonly group: Group;
  /** A score per unit, comparable between groups. */
  readonly scores: Float64Array;
}

export interface Choice extends Removal {
  readonly group: Group;
  readonly units: readonly number[];
}

/** A unit, and how many go before it, in units that each have the mean of the channels. */
export interface PlacedUnit {
  readonly group: Group;
  readonly unit: number;
  readonly place: number;
}

/**
 * All units of a group that can go, in the order in which they do: the least score first, and something is left of every axis. Where layers have other
 * units than others, as the stages of a network whose shortcuts fill up channels with zeros, each layer loses its share at any amount: units of
 * the same layers are ranked among themselves, and go in the order of their ranks, as shares of their channels.
 */
export function removalOrder(scored: ScoredGroup): readonly PlacedUnit[] {
  return placed(possible(inShares(ranked([scored])), [scored]));
}

/** @param candidates in ascending order of their scores. Of equal shares that of more channels is first: at the end less is missing then, or too much. */
function inShares(candidates: readonly Candidate[]): readonly Candidate[] {
  const shares = new Map<Candidate, number>();
  for (const own of groupBy(candidates, ({ layers }) => layers).values()) {
    const total = own.reduce((sum, { channels }) => sum + channels, 0);
    let before = 0;
    for (const candidate of own) {
      shares.set(candidate, (2 * before + candidate.channels) / (2 * total));
      before += candidate.channels;
    }
  }
  const shareOf = (candidate: Candidate): number => shares.get(candidate) ?? 0;
  return candidates.toSorted((a, b) => shareOf(a) - shareOf(b) || b.size - a.size);
}

/**
 * An amount is a share of channels, and a unit may have one or many: it goes once the middle of its channels lies within the amount, counted in units of
 * mean size. So what goes at an amount goes at every larger one, no more than half of a unit is missing or too much, and units of one size are counted.
 * (Were a unit passed over that is too large for what is left, it would stay at an amount and the smaller one behind it at another.)
 * @param candidates in the order in which they go.
 */
function placed(candidates: readonly Candidate[]): readonly PlacedUnit[] {
  let before = 0;
  return candidates.map(({ group, unit, size }) => {
    const place = Math.floor(before + size / 2);
    before += size;
    return { group, unit, place };
  });
}

interface UnitSizes {
  /** Which layers have it among their output channels. */
  readonly layers: readonly string[];
  /** How many channels it has in all of them. */
  readonly channels: Uint32Array;
  /** In one of them, as a multiple of the mean of those that can go. */
  readonly sizes: Float64Array;
}

function sizesOf(group: Group): UnitSizes {
  const { units } = group;
  const layers = new Array<string>(units).fill("");
  const [channels, counts, lastOf] = [new Uint32Array(units), new Uint32Array(units), new Int32Array(units).fill(-1)];
  group.layers.forEach((layer, place) => {
    const mark = ` ${place}`;
    outputsOf(group, layer)?.unitOf.forEach((unit) => {
      if (unit < 0) return;
      channels[unit] = (channels[unit] ?? 0) + 1;
      if (lastOf[unit] === place) return;
      lastOf[unit] = place;
      counts[unit] = (counts[unit] ?? 0) + 1;
      layers[unit] += mark;
    });
  });
  const free = removable(group);
  const means = Float64Array.from(channels, (count, unit) => count / Math.max(1, counts[unit] ?? 0));
  // Relative to the first before they are added up: equal ones are exactly 1.
  const first = means[free[0] ?? 0] || 1;
  const sizes = means.map((mean) => mean / first);
  const total = free.reduce((sum, unit) => sum + (sizes[unit] ?? 0), 0);
  return { layers, channels, sizes: sizes.map((size) => (size * free.length) / total) };
}

/** What goes at an amount from 0 to 1. Units are ranked once for all amounts: a bound tries many. */
export type UnitChooser = (amount: number, roundTo: number) => readonly Choice[];

/**
 * The amount of the channels with the least scores, of all groups that are ranked together. A group that is chosen from by itself keeps a channel of its own, so
 * that something is left of an axis that groups share, too.
 * @param amountOf the amount of a group where it is this of others.
 */
export function unitChooser(
  groups: readonly ScoredGroup[],
  together: (group: Group) => unknown,
  amountOf: (group: Group, amount: number) => number,
): UnitChooser {
  const sets = Array.from(
    groupBy(groups, ({ group }) => together(group)),
    ([key, set]) => ({
      set,
      order: set.length === 1 && key === set[0].group ? removalOrder(set[0]) : placed(possible(ranked(set), set)),
      total: set.reduce((sum, { group }) => sum + group.units, 0),
    }),
  );
  return (amount, roundTo) =>
    sets.flatMap(({ set, order, total }) => {
      const count = roundHalfEven(amountOf(set[0].group, amount) * total);
      const gone = groupBy(
        order.filter(({ place }) => place < count),
        ({ group }) => group,
      );
      return set.map(({ group }) => ({ group, units: inMultiples(group, gone.get(group) ?? [], roundTo) }));
    });
}

/** The most of these units, from the first on, without which the layer that has most of the group's units, and of these, has a multiple of so many channels. */
function inMultiples(group: Group, order: readonly PlacedUnit[], roundTo: number): readonly number[] {
  const units = order.map(({ unit }) => unit);
  const layers = group.layers.map((layer) => {
    const own = outputsOf(group, layer)?.unitOf.filter((unit) => unit >= 0) ?? new Int32Array();
    return { own, units: new Set(own).size };
  });
  const [widest] = layers.sort((a, b) => b.units - a.units || b.own.length - a.own.length);
  const sizes = new Uint32Array(group.units);
  for (const unit of widest?.own ?? []) sizes[unit] = (sizes[unit] ?? 0) + 1;
  let left = units.reduce((rest, unit) => rest - (sizes[unit] ?? 0), widest?.own.length ?? 0);
  while (units.length > 0 && left % roundTo !== 0) left += sizes[units.pop() ?? 0] ?? 0;
  return units;
}

interface Candidate {
  readonly group: Group;
  readonly unit: number;
  readonly score: number;
  readonly layers: string;
  readonly channels: number;
  readonly size: number;
}

function ranked(groups: readonly ScoredGroup[]): readonly Candidate[] {
  return groups
    .flatMap(({ group, scores }) => {
      const { layers, channels, sizes } = sizesOf(group);
      return removable(group).map((unit) => ({
        group,
        unit,
        score: scores[unit] ?? 0,
        layers: layers[unit] ?? "",
        channels: channels[unit] ?? 0,
        size: sizes[unit] ?? 1,
      }));
    })
    .sort((a, b) => a.score - b.score);
}

/** Those that can go one after the other, so that something is left of every axis. */
function possible(candidates: readonly Candidate[], groups: readonly ScoredGroup[]): readonly Candidate[] {
  const left = new RemainingChannels(groups);
  return candidates.filter(({ group, unit }) => left.remove(group, unit));
}

/** How many indices are left on every axis that units reach; several groups may share one (the parts of a Concat). */
class RemainingChannels {
  readonly #left: number[] = [];
  /** Of each unit: places in `#left`, each followed by the number of its indices there. */
  readonly #touched = new Map<Group, readonly number[][]>();

  constructor(groups: readonly ScoredGroup[]) {
    const places = new Map<Value, Map<number, number>>();
    for (const { group } of groups) {
      const touched = Array.from({ length: group.units }, (): number[] => []);
      this.#touched.set(group, touched);
      const counts = new Uint32Array(group.units);
      // Slices along tied axes share their units: one of them stands for all.
      const seen = new Set<Int32Array>();
      for (const { value, axis, unitOf } of group.slices) {
        if (seen.has(unitOf)) continue;
        seen.add(unitOf);
        const axes = places.get(value) ?? new Map<number, number>();
        const place = axes.get(axis) ?? this.#left.push(unitOf.length) - 1;
        places.set(value, axes.set(axis, place));
        counts.fill(0);
        unitOf.forEach((unit) => {
          if (unit >= 0) counts[unit] = (counts[unit] ?? 0) + 1;
        });
        counts.forEach((count, unit) => {
          if (count > 0) touched[unit]?.push(place, count);
        });
      }
    }
  }

  /** Takes a unit's indices away, unless nothing would be left of an axis. */
  remove(group: Group, unit: number): boolean {
    const touched = this.#touched.get(group)?.[unit] ?? [];
    for (let at = 0; at < touched.length; at += 2)
      if ((this.#left[touched[at] ?? 0] ?? 0) <= (touched[at + 1] ?? 0)) return false;
    for (let at = 0; at < touched.length; at += 2)
      this.#left[touched[at] ?? 0] = (this.#left[touched[at] ?? 0] ?? 0) - (touched[at + 1] ?? 0);
    return true;
  }
}
