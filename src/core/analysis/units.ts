/** Assigns units to indices along axes of values, and merges units. */
import type { Value } from "../graph/graph.ts";
import { DisjointSets } from "../math/disjoint-sets.ts";

export interface Along {
  readonly value: Value | undefined;
  readonly axis: number;
}

/**
 * The maximum axis length that is followed, enough for a flattened 2,048 × 2,048 image. A file can state any size, but each position needs memory.
 */
const maxAxis = 2 ** 22;

/** Returns the size of an axis; undefined if it is unknown or too long. */
export function sizeAlong({ value, axis }: Along): number | undefined {
  const dim = (value?.tensor?.dims ?? value?.type?.dims)?.[axis];
  return typeof dim === "number" && dim <= maxAxis ? dim : undefined;
}

/** The units along an axis and along all axes tied to it. */
class Track {
  label: Int32Array | undefined;
  /** The value of `Labels.changes` when an index of this axis last got a unit. */
  reached = 0;
  #into: Track | undefined;

  constructor(readonly size: number) {}

  /** The track that all tied axes share. */
  get whole(): Track {
    let at: Track = this;
    for (let next = at.#into; next !== undefined; next = at.#into) {
      at.#into = next.#into ?? next;
      at = next;
    }
    return at;
  }

  joinTo(other: Track): void {
    this.#into = other;
    this.label = undefined;
  }
}

export class Labels {
  /** The number of unit assignments and merges so far, which shows whether a sweep changed anything. */
  changes = 0;
  /** The number of merges included in `changes`. */
  joins = 0;
  readonly #tracks = new Map<Value, Map<number, Track>>();
  readonly #sets = new DisjointSets();

  /** Assigns a new unit to each index along an axis that has none. */
  start(value: Value, axis: number): void {
    const track = this.#track({ value, axis });
    if (track === undefined) return;
    const label = labelOf(track);
    for (let index = 0; index < label.length; index++) if (label[index] === -1) label[index] = this.#sets.add();
    track.reached = ++this.changes;
  }

  /** Makes two axes of equal size share their units, index by index, from now on. Returns false if the sizes are unknown or differ. */
  tie(first: Along, second: Along): boolean {
    const [a, b] = [this.#track(first), this.#track(second)];
    if (a === undefined || b === undefined || a.size !== b.size) return false;
    if (a === b) return true;
    const { label } = b;
    if (label !== undefined) {
      labelOf(a);
      a.reached = ++this.changes;
      for (let index = 0; index < label.length; index++)
        if ((label[index] ?? -1) >= 0) this.#put(a, index, label[index] ?? -1);
    }
    b.joinTo(a);
    return true;
  }

  /**
   * Returns the unit at each index along an axis, -1 for none; undefined if no index has a unit. Tied axes
   * share one array. Pass each unit to `find`, because units merge.
   */
  at({ value, axis }: Along): Int32Array | undefined {
    return value === undefined ? undefined : this.#tracks.get(value)?.get(axis)?.whole.label;
  }

  /** Returns the value of `changes` when an index of this axis last got a unit. */
  lastReached({ value, axis }: Along): number {
    return value === undefined ? 0 : (this.#tracks.get(value)?.get(axis)?.whole.reached ?? 0);
  }

  /** Returns an object that identifies the axis and all axes tied to it; undefined if the size is unknown. */
  trackOf(end: Along): object | undefined {
    return this.#track(end);
  }

  /** Yields the axes of a value on which an index has a unit. */
  *axes(value: Value): Generator<number, void, undefined> {
    for (const [axis, track] of this.#tracks.get(value) ?? []) if (track.whole.label !== undefined) yield axis;
  }

  /** Yields all axes on which an index has a unit. */
  *ends(): Generator<{ readonly value: Value; readonly axis: number; readonly label: Int32Array }> {
    for (const [value, axes] of this.#tracks)
      for (const [axis, track] of axes) {
        const { label } = track.whole;
        if (label !== undefined) yield { value, axis, label };
      }
  }

  /** The number of units created, including merged ones. */
  get units(): number {
    return this.#sets.count;
  }

  /** Returns the representative of all units merged with this one. */
  find(unit: number): number {
    return this.#sets.find(unit);
  }

  /**
   * Assigns the unit `unitAt(index)` to `positions[index]`, or to `index` itself without `positions`. -1
   * assigns nothing. Absent values and axes of unknown size are skipped.
   */
  assign(
    end: Along,
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

  /** Returns the unit that all positions share; -1 if a position has none or units differ. */
  common(label: Int32Array, positions: readonly number[]): number {
    // Plain loops are deliberate: iterator objects were 40 % of the allocations when pruning a transformer.
    let shared = -1;
    for (let index = 0; index < positions.length; index++) {
      const unit = label[positions[index] ?? 0] ?? -1;
      if (unit < 0) return -1;
      const root = this.find(unit);
      if (shared >= 0 && root !== shared) return -1;
      shared = root;
    }
    return shared;
  }

  /** Assigns a unit to an index. If the index already has a different unit, merges the two. */
  #put(track: Track, index: number, unit: number): void {
    if (index >= track.size) return;
    const label = labelOf(track);
    const present = label[index] ?? -1;
    if (present === unit) return;
    if (present < 0) {
      label[index] = unit;
      track.reached = ++this.changes;
      return;
    }
    if (!this.#sets.join(present, unit)) return;
    this.changes++;
    this.joins++;
  }

  #track({ value, axis }: Along): Track | undefined {
    if (value === undefined) return undefined;
    let axes = this.#tracks.get(value);
    const present = axes?.get(axis);
    if (present !== undefined) return present.whole;
    const size = sizeAlong({ value, axis });
    if (size === undefined) return undefined;
    if (axes === undefined) {
      axes = new Map();
      this.#tracks.set(value, axes);
    }
    const track = new Track(size);
    axes.set(axis, track);
    return track;
  }
}

function labelOf(track: Track): Int32Array {
  track.label ??= new Int32Array(track.size).fill(-1);
  return track.label;
}
