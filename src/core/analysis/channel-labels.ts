/**
 * Stores labels for channel analysis (`channels.ts`). The label of an index along an axis is the number of its unit: a set of indices, on any axes,
 * that must be removed (or scaled) together. Units that meet at one index are merged. Tied axes share one array of units.
 */
import type { Value } from "#graph";
import { DisjointSets } from "../math/disjoint-sets.ts";

export interface ValueAxis {
  readonly value: Value | undefined;
  readonly axis: number;
}

/** The maximum length of a labeled axis, because a file can state any size, but each index needs memory. */
const maxAxis = 2 ** 22;

/** Returns the size of an axis if labels can be stored for it. */
export function sizeAlong({ value, axis }: ValueAxis): number | undefined {
  const dim = (value?.tensor?.dims ?? value?.type?.dims)?.[axis];
  return typeof dim === "number" && dim <= maxAxis ? dim : undefined;
}

/** The labels along an axis and along all axes tied to it. */
class AxisLabels {
  /** The unit at each index; -1 for an index without a unit. */
  units: Int32Array | undefined;
  /** The value of `Labels.changes` when an index of this axis last got a unit. */
  lastChange = 0;
  #parent: AxisLabels | undefined;

  constructor(readonly size: number) {}

  get root(): AxisLabels {
    let current: AxisLabels = this;
    for (let next = current.#parent; next !== undefined; next = current.#parent) {
      current.#parent = next.#parent ?? next;
      current = next;
    }
    return current;
  }

  tieTo(other: AxisLabels): void {
    this.#parent = other;
    this.units = undefined;
  }
}

export class UnitLabels {
  /** A number that increases with unit assignments and merges. */
  changeCount = 0;
  mergeCount = 0;
  readonly #tracks = new Map<Value, Map<number, AxisLabels>>();
  readonly #sets = new DisjointSets();

  /** Assigns a new unit to each index of an axis that has none. */
  assignNewUnits(value: Value, axis: number): void {
    const track = this.#track({ value, axis });
    if (track === undefined) return;
    const units = unitsOf(track);
    for (let index = 0; index < units.length; index++) if (units[index] === -1) units[index] = this.#sets.add();
    track.lastChange = ++this.changeCount;
  }

  /** Makes two axes of equal size share their units from now on. Returns false if the sizes are unknown or differ. */
  tie(first: ValueAxis, second: ValueAxis): boolean {
    const [a, b] = [this.#track(first), this.#track(second)];
    if (a === undefined || b === undefined || a.size !== b.size) return false;
    if (a === b) return true;
    const { units } = b;
    if (units !== undefined) {
      unitsOf(a);
      a.lastChange = ++this.changeCount;
      for (let index = 0; index < units.length; index++)
        if ((units[index] ?? -1) >= 0) this.#put(a, index, units[index] ?? -1);
    }
    b.tieTo(a);
    return true;
  }

  /** Returns the unit at each index (-1: none). Pass units to `rootOf`, because merged ones differ. */
  unitsAt({ value, axis }: ValueAxis): Int32Array | undefined {
    return value === undefined ? undefined : this.#tracks.get(value)?.get(axis)?.root.units;
  }

  lastChangeOf({ value, axis }: ValueAxis): number {
    return value === undefined ? 0 : (this.#tracks.get(value)?.get(axis)?.root.lastChange ?? 0);
  }

  /** Returns an object that identifies the axis and the axes tied to it. */
  identityOf(end: ValueAxis): object | undefined {
    return this.#track(end);
  }

  *axesOf(value: Value): Generator<number, void, undefined> {
    for (const [axis, track] of this.#tracks.get(value) ?? []) if (track.root.units !== undefined) yield axis;
  }

  *labeledAxes(): Generator<{ readonly value: Value; readonly axis: number; readonly units: Int32Array }> {
    for (const [value, axes] of this.#tracks)
      for (const [axis, track] of axes) {
        const { units } = track.root;
        if (units !== undefined) yield { value, axis, units };
      }
  }

  /** The number of units created, including merged ones. */
  get unitCount(): number {
    return this.#sets.count;
  }

  rootOf(unit: number): number {
    return this.#sets.find(unit);
  }

  /** Assigns `unitAt(index)` to all of `positions[index]`, or to `index` without `positions`. */
  assignUnits(
    end: ValueAxis,
    count: number,
    unitAt: (index: number) => number,
    positions?: readonly (readonly number[])[],
  ): void {
    const track = this.#track(end);
    if (track === undefined) return;
    for (let index = 0; index < count; index++) {
      const unit = unitAt(index);
      if (unit < 0) continue;
      if (positions === undefined) this.#put(track, index, unit);
      else {
        const targets = positions[index] ?? [];
        for (let target = 0; target < targets.length; target++) this.#put(track, targets[target] ?? 0, unit);
      }
    }
  }

  /** Returns the unit that all positions have; -1 if there is none. */
  commonUnit(units: Int32Array, positions: readonly number[]): number {
    // Plain loops are deliberate: iterator objects were 40 % of the allocations when pruning a transformer.
    let sharedUnit = -1;
    for (let index = 0; index < positions.length; index++) {
      const unit = units[positions[index] ?? 0] ?? -1;
      if (unit < 0) return -1;
      const root = this.rootOf(unit);
      if (sharedUnit >= 0 && root !== sharedUnit) return -1;
      sharedUnit = root;
    }
    return sharedUnit;
  }

  #put(track: AxisLabels, index: number, unit: number): void {
    if (index >= track.size) return;
    const units = unitsOf(track);
    const present = units[index] ?? -1;
    if (present === unit) return;
    if (present < 0) {
      units[index] = unit;
      track.lastChange = ++this.changeCount;
      return;
    }
    if (!this.#sets.join(present, unit)) return;
    this.changeCount++;
    this.mergeCount++;
  }

  #track({ value, axis }: ValueAxis): AxisLabels | undefined {
    if (value === undefined) return undefined;
    let axes = this.#tracks.get(value);
    const present = axes?.get(axis);
    if (present !== undefined) return present.root;
    const size = sizeAlong({ value, axis });
    if (size === undefined) return undefined;
    if (axes === undefined) {
      axes = new Map();
      this.#tracks.set(value, axes);
    }
    const track = new AxisLabels(size);
    axes.set(axis, track);
    return track;
  }
}

function unitsOf(track: AxisLabels): Int32Array {
  track.units ??= new Int32Array(track.size).fill(-1);
  return track.units;
}
