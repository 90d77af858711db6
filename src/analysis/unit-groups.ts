/** Units that compete with each other: those that share an axis where units begin, or begin on axes that do. */
import type { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { DisjointSets } from "../math/disjoint-sets.ts";
import type { Along, Labels } from "./units.ts";

/** An axis along which some indices belong to units of a group. */
export interface Slice {
  readonly value: Value;
  readonly axis: number;
  /** Index along the axis → unit of the group, or -1. */
  readonly unitOf: Int32Array;
}

/** The units at the positions of an axis, -1 for none. */
export interface LabelledEnd {
  readonly value: Value;
  readonly axis: number;
  readonly label: Int32Array;
}

interface UnitGroup<E extends LabelledEnd> {
  /** Places in the list of starts. */
  readonly starts: readonly number[];
  readonly units: number;
  /** The ends that units of this group reach. */
  readonly slices: readonly (Omit<E, "label"> & Slice)[];
  readonly refused: ReadonlyMap<number, Miss>;
}

/**
 * Starts with a common unit are one group; its units are numbered in the order in which its starts have them. In the order of their first starts.
 * @param refused by units as they have become.
 */
export function unitGroups<E extends LabelledEnd>(
  starts: readonly Along[],
  labels: Labels,
  ends: Iterable<E>,
  refused: ReadonlyMap<number, Miss>,
): readonly UnitGroup<E>[] {
  // Of each unit the first start that has it; starts that share a unit are one set.
  const owner = new Int32Array(labels.units).fill(-1);
  const sets = new DisjointSets();
  for (const start of starts) {
    const index = sets.add();
    eachUnit(start, labels, (unit) => {
      const other = owner[unit] ?? -1;
      if (other < 0) owner[unit] = index;
      else sets.join(other, index);
    });
  }
  const groups = new Map<
    number,
    { starts: number[]; units: number; slices: (Omit<E, "label"> & Slice)[]; refused: Map<number, Miss> }
  >();
  const numbers = new Int32Array(labels.units).fill(-1);
  for (const [index, start] of starts.entries()) {
    const first = sets.find(index);
    const group = groups.get(first) ?? { starts: [], units: 0, slices: [], refused: new Map<number, Miss>() };
    eachUnit(start, labels, (unit) => {
      if (numbers[unit] !== -1) return;
      numbers[unit] = group.units;
      const miss = refused.get(unit);
      if (miss !== undefined) group.refused.set(group.units, miss);
      group.units++;
    });
    group.starts.push(index);
    if (group.units > 0) groups.set(first, group);
  }
  // Tied axes share their labels, and so the units of a slice.
  const parted = new Map<Int32Array, ReadonlyMap<number, Int32Array>>();
  for (const { label, ...end } of ends) {
    const own = parted.get(label) ?? byGroup(label);
    parted.set(label, own);
    for (const [first, unitOf] of own) groups.get(first)?.slices.push({ ...end, unitOf });
  }
  return [...groups.values()];

  function byGroup(label: Int32Array): ReadonlyMap<number, Int32Array> {
    const own = new Map<number, Int32Array>();
    for (let index = 0; index < label.length; index++) {
      const unit = label[index] ?? -1;
      const root = unit < 0 ? -1 : labels.find(unit);
      const start = owner[root] ?? -1;
      if (start < 0) continue;
      const first = sets.find(start);
      let unitOf = own.get(first);
      if (unitOf === undefined) {
        unitOf = new Int32Array(label.length).fill(-1);
        own.set(first, unitOf);
      }
      unitOf[index] = numbers[root] ?? -1;
    }
    return own;
  }
}

/** Calls with the units along an axis, in order; one that several indices share comes as often. */
function eachUnit(start: Along, labels: Labels, visit: (unit: number) => void): void {
  labels.at(start)?.forEach((unit) => {
    if (unit >= 0) visit(labels.find(unit));
  });
}
