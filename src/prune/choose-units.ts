/** Which channels go: the least of each group, of all groups together, or of those of the same structure; on no axis the last index goes. */
import { type Group, outputsOf, removable } from "../analysis/channels.ts";
import type { Removal } from "../analysis/cut.ts";
import type { Value } from "../graph/graph.ts";
import { roundHalfEven } from "../tensor/round.ts";

export interface ScoredGroup {
  readonly group: Group;
  /** A score per unit, comparable between groups. */
  readonly scores: Float64Array;
}

export interface Choice extends Removal {
  readonly units: readonly number[];
}

/**
 * All units of a group that can go, in the order in which they do: the least score first, and something is left of every axis. Where layers have other
 * units than others, as the stages of a network whose shortcuts fill up channels with zeros, each layer loses its share at any amount: units of
 * the same layers are ranked among themselves, and go in the order of their ranks, as shares.
 */
export function removalOrder(scored: ScoredGroup): readonly number[] {
  const candidates = inShares(ranked([scored]), layersOfUnits(scored.group));
  return take(candidates, Number.POSITIVE_INFINITY, new RemainingChannels([scored])).map(({ unit }) => unit);
}

/** @param candidates in ascending order of their scores. */
function inShares(candidates: readonly Candidate[], kinds: readonly string[]): readonly Candidate[] {
  const sizes = new Map<string, number>();
  const ranks = candidates.map(({ unit }) => {
    const kind = kinds[unit] ?? "";
    const rank = sizes.get(kind) ?? 0;
    sizes.set(kind, rank + 1);
    return rank;
  });
  const shares = candidates.map(({ unit }, at) => ((ranks[at] ?? 0) + 0.5) / (sizes.get(kinds[unit] ?? "") ?? 1));
  const order = candidates.map((_, at) => at).sort((a, b) => (shares[a] ?? 0) - (shares[b] ?? 0));
  return order.flatMap((at) => candidates[at] ?? []);
}

/** For each unit, which layers of its group have it among their output channels. */
function layersOfUnits(group: Group): readonly string[] {
  const kinds = new Array<string>(group.units).fill("");
  group.layers.forEach((layer, place) => {
    for (const unit of new Set(outputsOf(group, layer)?.unitOf)) if (unit >= 0) kinds[unit] += ` ${place}`;
  });
  return kinds;
}

/**
 * The amount (0 to 1) of each group's units with the least scores. Each group is chosen from by itself: a layer keeps a channel of its own,
 * so that something is left of an axis that groups share, too.
 */
export function allocateUniform(
  groups: readonly ScoredGroup[],
  amountOf: (group: Group) => number,
  roundTo = 1,
): readonly Choice[] {
  return groups.map((scored) => {
    const { group } = scored;
    const count = roundHalfEven(amountOf(group) * group.units);
    return { group, units: removalOrder(scored).slice(0, inMultiples(group, count, roundTo)) };
  });
}

/** The most units, but no more than `count`, without which a layer has a multiple of so many channels. */
function inMultiples(group: Group, count: number, roundTo: number): number {
  const { units, layers } = group;
  const sizes = layers.map((layer) => {
    const slice = outputsOf(group, layer);
    return slice === undefined ? 1 : slice.unitOf.filter((unit) => unit >= 0).length / units;
  });
  const each = Math.max(1, ...sizes.filter(Number.isInteger));
  const isMultiple = (gone: number): boolean => (each * (units - gone)) % roundTo === 0;
  for (let gone = count; gone > 0; gone--) if (isMultiple(gone)) return gone;
  return 0;
}

/** The `amount` (0 to 1) of all units with the least scores, wherever they are. */
export function allocateGlobal(groups: readonly ScoredGroup[], amount: number, roundTo = 1): readonly Choice[] {
  const total = groups.reduce((sum, { group }) => sum + group.units, 0);
  const taken = take(ranked(groups), roundHalfEven(amount * total), new RemainingChannels(groups));
  return groups.map(({ group }) => {
    const units = taken.filter((one) => one.group === group).map(({ unit }) => unit);
    return { group, units: units.slice(0, inMultiples(group, units.length, roundTo)) };
  });
}

/**
 * The same of groups of the same structure, class by class: what goes through the same operators along the same axes, as the inner channels of all blocks
 * of a network, has comparable scores, where a head and a channel of a convolution have not (Fang et al. 2024, "Isomorphic Pruning").
 */
export function allocateIsomorphic(groups: readonly ScoredGroup[], amount: number, roundTo = 1): readonly Choice[] {
  const classes = new Map<string, ScoredGroup[]>();
  for (const one of groups) {
    const structure = structureOf(one.group);
    classes.set(structure, [...(classes.get(structure) ?? []), one]);
  }
  return [...classes.values()].flatMap((own) => allocateGlobal(own, amount, roundTo));
}

/** What reads and writes the channels, whatever their number. */
function structureOf({ slices }: Group): string {
  const ends = slices.flatMap(({ value, axis }) => [
    ...Array.from(value.uses, ({ node, input }) => `${node.op} in${input} ${axis}`),
    ...(value.producer === undefined ? [] : [`${value.producer.op} out ${axis}`]),
  ]);
  return ends.sort().join(", ");
}

interface Candidate {
  readonly group: Group;
  readonly unit: number;
  readonly score: number;
}

function ranked(groups: readonly ScoredGroup[]): readonly Candidate[] {
  return groups
    .flatMap(({ group, scores }) => removable(group).map((unit) => ({ group, unit, score: scores[unit] ?? 0 })))
    .sort((a, b) => a.score - b.score);
}

function take(candidates: readonly Candidate[], count: number, left: RemainingChannels): readonly Candidate[] {
  const taken: Candidate[] = [];
  for (const candidate of candidates) {
    if (taken.length === count) break;
    if (left.remove(candidate.group, candidate.unit)) taken.push(candidate);
  }
  return taken;
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
        for (const unit of unitOf) if (unit >= 0) counts[unit] = (counts[unit] ?? 0) + 1;
        for (const [unit, count] of counts.entries()) if (count > 0) touched[unit]?.push(place, count);
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
