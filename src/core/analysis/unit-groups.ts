/**
 * Splits units (`channel-labels.ts`) into groups that share no unit, and numbers the units of each group from 0:
 *     units that start     conv1 [4, 5, 6]   conv2 [6, 7]   fc [8, 9]
 *     groups               {conv1, conv2}: 4 → 0, 5 → 1, 6 → 2, 7 → 3     {fc}: 8 → 0, 9 → 1
 */
import type { Miss, Value } from "#graph";
import { DisjointSets } from "../math/disjoint-sets.ts";
import { getOrAdd } from "../tensor/get-or-add.ts";
import type { UnitLabels, ValueAxis } from "./channel-labels.ts";

/** An axis of a value that a group reaches. */
export interface Slice {
  readonly value: Value;
  readonly axis: number;
  /** The group's unit at each index along the axis; -1 if the index has no unit of the group. */
  readonly unitOf: Int32Array;
}

/** An axis of a value, with the unit at each index (`UnitLabels.unitsAt`). */
export interface LabeledAxis {
  readonly value: Value;
  readonly axis: number;
  readonly units: Int32Array;
}

interface UnitGroup<A extends LabeledAxis> {
  readonly starts: number[];
  units: number;
  readonly slices: (Omit<A, "units"> & Slice)[];
  readonly refused: Map<number, Miss>;
}

/** Returns the groups in the order of their first starts. `axes` are those to which units spread, `refused` has reasons by root. */
export function unitGroups<A extends LabeledAxis>(
  starts: readonly ValueAxis[],
  labels: UnitLabels,
  axes: Iterable<A>,
  refused: ReadonlyMap<number, Miss>,
): readonly UnitGroup<A>[] {
  const groupOf = joinStarts(starts, labels);
  const groups = new Map<number, UnitGroup<A>>();
  const numberInGroup = new Int32Array(labels.unitCount).fill(-1);
  for (const [index, start] of starts.entries())
    visitUnits(start, labels, (unit) => {
      const group = getOrAdd(groups, groupOf(unit), () => ({ starts: [], units: 0, slices: [], refused: new Map() }));
      if (group.starts.at(-1) !== index) group.starts.push(index);
      if (numberInGroup[unit] !== -1) return;
      numberInGroup[unit] = group.units;
      const miss = refused.get(unit);
      if (miss !== undefined) group.refused.set(group.units, miss);
      group.units++;
    });
  const unitsByGroup = (axisUnits: Int32Array): ReadonlyMap<number, Int32Array> => {
    const units = new Map<number, Int32Array>();
    for (const [index, unit] of axisUnits.entries()) {
      const root = unit < 0 ? -1 : labels.rootOf(unit);
      const group = groupOf(root);
      if (group < 0) continue;
      getOrAdd(units, group, () => new Int32Array(axisUnits.length).fill(-1))[index] = numberInGroup[root] ?? -1;
    }
    return units;
  };
  // Tied axes share one array, so the units of each array are computed once.
  const groupedUnits = new Map<Int32Array, ReadonlyMap<number, Int32Array>>();
  for (const { units: axisUnits, ...axis } of axes)
    for (const [group, unitOf] of getOrAdd(groupedUnits, axisUnits, () => unitsByGroup(axisUnits)))
      groups.get(group)?.slices.push({ ...axis, unitOf });
  return [...groups.values()];
}

function joinStarts(starts: readonly ValueAxis[], labels: UnitLabels): (unit: number) => number {
  const firstStartOf = new Int32Array(labels.unitCount).fill(-1);
  const sets = new DisjointSets();
  for (const start of starts) {
    const index = sets.add();
    visitUnits(start, labels, (unit) => {
      const first = firstStartOf[unit] ?? -1;
      if (first < 0) firstStartOf[unit] = index;
      else sets.join(first, index);
    });
  }
  return (unit) => {
    const start = firstStartOf[unit] ?? -1;
    return start < 0 ? -1 : sets.find(start);
  };
}

function visitUnits(start: ValueAxis, labels: UnitLabels, visit: (unit: number) => void): void {
  labels.unitsAt(start)?.forEach((unit) => {
    if (unit >= 0) visit(labels.rootOf(unit));
  });
}
