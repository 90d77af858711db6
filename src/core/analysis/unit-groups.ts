/** Groups units (`channel-labels.ts`) for removal or scaling: a group has the units that start on one axis, or on several axes that share units. */
import type { Miss, Value } from "#graph";
import { DisjointSets } from "../math/disjoint-sets.ts";
import type { Labels, ValueAxis } from "./channel-labels.ts";

/** An axis of a value, with the group's unit at each index. */
export interface Slice {
  readonly value: Value;
  readonly axis: number;
  /** The group's unit at each index along the axis; -1 if the index has no unit of the group. */
  readonly unitOf: Int32Array;
}

/** An axis of a value, with the label at each index (`Labels.at`). */
export interface LabelledEnd {
  readonly value: Value;
  readonly axis: number;
  readonly label: Int32Array;
}

interface UnitGroup<E extends LabelledEnd> {
  readonly starts: readonly number[];
  readonly units: number;
  readonly slices: readonly (Omit<E, "label"> & Slice)[];
  readonly refused: ReadonlyMap<number, Miss>;
}

/**
 * Returns the groups in the order of their first starts. Units of a group are numbered in the order of the starts.
 * @param ends All axes to which units spread.
 * @param refused The reason for each refused unit, by the unit's representative (`Labels.find`).
 */
export function unitGroups<E extends LabelledEnd>(
  starts: readonly ValueAxis[],
  labels: Labels,
  ends: Iterable<E>,
  refused: ReadonlyMap<number, Miss>,
): readonly UnitGroup<E>[] {
  // Joins each start with the first start that has one of its units.
  const firstStartOf = new Int32Array(labels.units).fill(-1);
  const sets = new DisjointSets();
  for (const start of starts) {
    const index = sets.add();
    eachUnit(start, labels, (unit) => {
      const other = firstStartOf[unit] ?? -1;
      if (other < 0) firstStartOf[unit] = index;
      else sets.join(other, index);
    });
  }
  const groups = new Map<
    number,
    { starts: number[]; units: number; slices: (Omit<E, "label"> & Slice)[]; refused: Map<number, Miss> }
  >();
  const numberInGroup = new Int32Array(labels.units).fill(-1);
  for (const [index, start] of starts.entries()) {
    const first = sets.find(index);
    const group = groups.get(first) ?? { starts: [], units: 0, slices: [], refused: new Map<number, Miss>() };
    eachUnit(start, labels, (unit) => {
      if (numberInGroup[unit] !== -1) return;
      numberInGroup[unit] = group.units;
      const miss = refused.get(unit);
      if (miss !== undefined) group.refused.set(group.units, miss);
      group.units++;
    });
    group.starts.push(index);
    if (group.units > 0) groups.set(first, group);
  }
  // Tied axes share one label array, so the slices of each array are computed once.
  const slicesByLabel = new Map<Int32Array, ReadonlyMap<number, Int32Array>>();
  for (const { label, ...end } of ends) {
    const slices = slicesByLabel.get(label) ?? sliceByGroup(label);
    slicesByLabel.set(label, slices);
    for (const [first, unitOf] of slices) groups.get(first)?.slices.push({ ...end, unitOf });
  }
  return [...groups.values()];

  function sliceByGroup(label: Int32Array): ReadonlyMap<number, Int32Array> {
    const units = new Map<number, Int32Array>();
    for (let index = 0; index < label.length; index++) {
      const unit = label[index] ?? -1;
      const root = unit < 0 ? -1 : labels.find(unit);
      const start = firstStartOf[root] ?? -1;
      if (start < 0) continue;
      const first = sets.find(start);
      let unitOf = units.get(first);
      if (unitOf === undefined) {
        unitOf = new Int32Array(label.length).fill(-1);
        units.set(first, unitOf);
      }
      unitOf[index] = numberInGroup[root] ?? -1;
    }
    return units;
  }
}

function eachUnit(start: ValueAxis, labels: Labels, visit: (unit: number) => void): void {
  labels.at(start)?.forEach((unit) => {
    if (unit >= 0) visit(labels.find(unit));
  });
}
