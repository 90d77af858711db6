/** Chooses the units (channels that are removed jointly) with the lowest scores in channel groups. */
import { blockWidth, freeUnits, type Group, outputSliceOf, type Removal } from "#analysis";
import { groupBy, roundHalfEven, type Value } from "#ir";

/** Returns the largest count that is at most a share of `size`. 0.7 of 10 is 7, although 0.7 · 10 can be less in floats. */
export const maxCountOf = (share: number, size: number): number => Math.floor(share * size + 1e-9);

export interface ScoredGroup {
  readonly group: Group;
  readonly scores: Float64Array;
}

export interface UnitChoice extends Removal {
  readonly group: Group;
  readonly units: readonly number[];
}

/** A unit (channels that are removed together), and its position in the order of removal. A unit takes its number of channels over the mean of all units. */
export interface UnitRank {
  readonly group: Group;
  readonly unit: number;
  readonly position: number;
}

/**
 * Orders the candidates of a group that is ranked alone. Units with the same layers are ranked among themselves, and all units by these ranks,
 * as shares of the channels, so that each layer loses its share at any amount. On a tie, the unit with more channels is first.
 * @param candidates in ascending order of their scores.
 */
function orderByShare(candidates: readonly RankedUnit[]): readonly RankedUnit[] {
  const shares = new Map<RankedUnit, number>();
  for (const competitors of groupBy(candidates, ({ layers }) => layers).values()) {
    const total = competitors.reduce((sum, { channels }) => sum + channels, 0);
    let before = 0;
    for (const candidate of competitors) {
      shares.set(candidate, (2 * before + candidate.channels) / (2 * total));
      before += candidate.channels;
    }
  }
  const shareOf = (candidate: RankedUnit): number => shares.get(candidate) ?? 0;
  return candidates.toSorted((a, b) => shareOf(a) - shareOf(b) || b.size - a.size);
}

/**
 * Gives each unit its position in the order of removal. A unit is removed if the middle of its channels is within the amount, so that a unit
 * that is removed at one amount is also removed at larger ones. @param candidates in the order of removal.
 */
function orderUnits(candidates: readonly RankedUnit[]): readonly UnitRank[] {
  let before = 0;
  return candidates.map(({ group, unit, size }) => {
    const position = Math.floor(before + size / 2);
    before += size;
    return { group, unit, position };
  });
}

interface UnitSizes {
  /** For each unit: the positions of the layers that have the unit among their output channels, as text. */
  readonly layers: readonly string[];
  /** For each unit: its number of channels in all layers. */
  readonly channels: Uint32Array;
  /** For each unit: its channels per layer, divided by the mean of the removable units. */
  readonly sizes: Float64Array;
}

function sizesOf(group: Group): UnitSizes {
  const { units } = group;
  const layers = new Array<string>(units).fill("");
  const [channels, counts, layerOf] = [new Uint32Array(units), new Uint32Array(units), new Int32Array(units).fill(-1)];
  group.layers.forEach((layer, position) => {
    const mark = ` ${position}`;
    outputSliceOf(group, layer)?.unitOf.forEach((unit) => {
      if (unit < 0) return;
      channels[unit] = (channels[unit] ?? 0) + 1;
      if (layerOf[unit] === position) return;
      layerOf[unit] = position;
      counts[unit] = (counts[unit] ?? 0) + 1;
      layers[unit] += mark;
    });
  });
  const unitIndices = freeUnits(group);
  const means = Float64Array.from(channels, (count, unit) => count / Math.max(1, counts[unit] ?? 0));
  // Sizes are divided by the first size before they are summed, so that equal sizes are exactly 1.
  const firstMean = means[unitIndices[0] ?? 0] || 1;
  const sizes = means.map((mean) => mean / firstMean);
  const total = unitIndices.reduce((sum, unit) => sum + (sizes[unit] ?? 0), 0);
  return { layers, channels, sizes: sizes.map((size) => (size * unitIndices.length) / total) };
}

export interface RankingOptions {
  /** Groups with equal keys are ranked together. A group whose key is the group itself is ranked alone. */
  rankingKey(group: Group): unknown;
  maxShareOf(group: Group): number;
}

/** Groups that are ranked together, and their units in the order of removal. An amount is a share of `total`, the units that can be removed. */
export interface RankedSet {
  readonly groups: readonly Group[];
  readonly total: number;
  /** The units that some amount removes, first to last. */
  readonly order: readonly UnitRank[];
}

export function rankedSets(
  scoredGroups: readonly ScoredGroup[],
  { rankingKey, maxShareOf }: RankingOptions,
): readonly RankedSet[] {
  const sets = groupBy(scoredGroups, ({ group }) => rankingKey(group));
  return Array.from(sets.values(), (set) => {
    const candidates = rankUnits(set);
    const inOrder = set.length === 1 ? orderByShare(candidates) : candidates;
    const remaining = new RemainingChannels(set, maxShareOf(set[0].group));
    const order = orderUnits(inOrder.filter(({ group, unit }) => remaining.remove(group, unit)));
    return { groups: set.map(({ group }) => group), total: candidates.length, order };
  });
}

/**
 * Places the units of a group in blocks, so that the number of remaining channels is a multiple of `roundTo`. Channels are counted in the
 * layer with the most units. Units after the last block are kept.
 */
export function roundToMultiples(set: RankedSet, roundTo: number | undefined): RankedSet {
  const units = groupBy(set.order, ({ group }) => group);
  return { ...set, order: [...units].flatMap(([group, order]) => placeInBlocks(group, order, roundTo)) };
}

function placeInBlocks(group: Group, order: readonly UnitRank[], roundTo: number | undefined): readonly UnitRank[] {
  const channels = widestOf(group);
  const sizes = new Uint32Array(group.units);
  for (const unit of channels) sizes[unit] = (sizes[unit] ?? 0) + 1;
  const sizeOf = ({ unit }: UnitRank): number => sizes[unit] ?? 0;
  const multiple = multipleOf(group, roundTo);
  let remaining = channels.length;
  const blocks: UnitRank[] = [];
  let block: UnitRank[] = [];
  for (const unit of order) {
    block.push(unit);
    remaining -= sizeOf(unit);
    if (remaining % multiple !== 0) continue;
    const size = block.reduce((sum, member) => sum + sizeOf(member), 0);
    let before = 0;
    const middle = block.find((member) => {
      before += sizeOf(member);
      return 2 * before > size;
    });
    blocks.push(...block.map((member) => ({ ...member, position: (middle ?? member).position })));
    block = [];
  }
  return blocks;
}

/** Returns the unit of each channel in the layer with the most units of the group; of equal layers, the one with the most channels. */
function widestOf(group: Group): Int32Array {
  const layers = group.layers.map((layer) => {
    const channels = outputSliceOf(group, layer)?.unitOf.filter((unit) => unit >= 0) ?? new Int32Array();
    return { channels, units: new Set(channels).size };
  });
  const [widest] = layers.sort((a, b) => b.units - a.units || b.channels.length - a.channels.length);
  return widest?.channels ?? new Int32Array();
}

/** ONNX Runtime convolves blocks of channels, which is slow if the number of channels is not a multiple of 4. */
export const finestMultiple = blockWidth / 4;
const multiples = [blockWidth, blockWidth / 2, finestMultiple];

/** Returns the multiple to which the remaining channels of a layer are rounded: `roundTo`, or a default that depends on the width. */
export function multipleOf(group: Group, roundTo?: number): number {
  if (roundTo !== undefined) return roundTo;
  const width = widestOf(group).length;
  return multiples.find((multiple) => width >= stepsPerLayer * multiple) ?? 1;
}

/** Minimum number of blocks in a layer that is rounded to a default multiple. */
const stepsPerLayer = 4;

/** Returns the units of each group that an amount removes: those whose `position` is below round(amount · total). */
export function chooseUnits({ groups, total, order }: RankedSet, amount: number): readonly UnitChoice[] {
  const count = roundHalfEven(amount * total);
  const removedUnits = groupBy(
    order.filter(({ position }) => position < count),
    ({ group }) => group,
  );
  return groups.map((group) => ({ group, units: (removedUnits.get(group) ?? []).map(({ unit }) => unit) }));
}

interface RankedUnit {
  readonly group: Group;
  readonly unit: number;
  readonly score: number;
  readonly layers: string;
  readonly channels: number;
  readonly size: number;
}

function rankUnits(groups: readonly ScoredGroup[]): readonly RankedUnit[] {
  return groups
    .flatMap(({ group, scores }) => {
      const { layers, channels, sizes } = sizesOf(group);
      return freeUnits(group).map((unit) => ({
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

/** Counts, for each axis that units reach, the indices that can still be removed. */
class RemainingChannels {
  readonly #removable: number[] = [];
  /** For each unit of a group, the axes that it reaches: the axis's position in `#removable`, and how many of its indices the unit removes. */
  readonly #counts = new Map<Group, readonly (readonly [position: number, count: number])[][]>();

  constructor(groups: readonly ScoredGroup[], maxShare: number) {
    const positions = new Map<Value, Map<number, number>>();
    for (const { group } of groups) {
      const unitCounts = Array.from({ length: group.units }, (): [number, number][] => []);
      this.#counts.set(group, unitCounts);
      const counts = new Uint32Array(group.units);
      // Slices along axes that always lose the same indices share one array.
      const visited = new Set<Int32Array>();
      for (const { value, axis, unitOf } of group.slices) {
        if (visited.has(unitOf)) continue;
        visited.add(unitOf);
        const axes = positions.get(value) ?? new Map<number, number>();
        const max = Math.min(maxCountOf(maxShare, unitOf.length), unitOf.length - 1);
        const position = axes.get(axis) ?? this.#removable.push(max) - 1;
        positions.set(value, axes.set(axis, position));
        counts.fill(0);
        unitOf.forEach((unit) => {
          if (unit >= 0) counts[unit] = (counts[unit] ?? 0) + 1;
        });
        counts.forEach((count, unit) => {
          if (count > 0) unitCounts[unit]?.push([position, count]);
        });
      }
    }
  }

  /** Removes a unit's indices unless an axis would keep fewer than its minimum. @returns whether the unit was removed. */
  remove(group: Group, unit: number): boolean {
    const unitCounts = this.#counts.get(group)?.[unit] ?? [];
    if (unitCounts.some(([position, count]) => (this.#removable[position] ?? 0) < count)) return false;
    for (const [position, count] of unitCounts) this.#removable[position] = (this.#removable[position] ?? 0) - count;
    return true;
  }
}
