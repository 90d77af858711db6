/** Units spread over the axes of values: which unit an index along an axis belongs to, and which units have become one. */
import type { Value } from "../graph/graph.ts";
import { DisjointSets } from "../math/disjoint-sets.ts";

/** An axis of a value; undefined where an operand is left out. */
export interface Along {
  readonly value: Value | undefined;
  readonly axis: number;
}

/** The longest axis whose positions are followed: images of 2,048 by 2,048 in a row. What sizes a file states costs it nothing, and each position takes memory. */
const longestAxis = 2 ** 22;

/** The size of an axis; undefined where it is not known, or too long for its positions to be followed. */
export function sizeAlong({ value, axis }: Along): number | undefined {
  const dim = (value?.tensor?.dims ?? value?.type?.dims)?.[axis];
  return typeof dim === "number" && dim <= longestAxis ? dim : undefined;
}

export class Labels {
  /** Counts positions that got a unit and units that became one: unchanged means that nothing happened. */
  changes = 0;
  /** Of `changes` those in which two units became one. */
  joins = 0;
  readonly #reached = new Map<Value, number>();
  readonly #labels = new Map<Value, Map<number, Int32Array>>();
  readonly #sets = new DisjointSets();

  /** Makes each index along an axis a unit of its own, where it has none yet. */
  start(value: Value, axis: number): void {
    const label = this.#label({ value, axis });
    if (label === undefined) return;
    for (let index = 0; index < label.length; index++) if (label[index] === -1) label[index] = this.#sets.add();
    this.#reached.set(value, ++this.changes);
  }

  /** Unit of each index along an axis, -1 for none; undefined if no index has one. Units may have become others since: see `find`. */
  at({ value, axis }: Along): Int32Array | undefined {
    return value === undefined ? undefined : this.#labels.get(value)?.get(axis);
  }

  /** The count of changes when a position of a value last got a unit. */
  reachedAt(value: Value | undefined): number {
    return value === undefined ? 0 : (this.#reached.get(value) ?? 0);
  }

  axes(value: Value): Iterable<number> {
    return this.#labels.get(value)?.keys() ?? [];
  }

  *ends(): Generator<{ readonly value: Value; readonly axis: number; readonly label: Int32Array }> {
    for (const [value, axes] of this.#labels) for (const [axis, label] of axes) yield { value, axis, label };
  }

  get units(): number {
    return this.#sets.count;
  }

  find(unit: number): number {
    return this.#sets.find(unit);
  }

  /** Gives a position a unit; if it has another already, both become one. Positions of absent values and of unknown size are left. */
  assign(end: Along, index: number, unit: number): void {
    const label = this.#label(end);
    if (label === undefined || index >= label.length) return;
    const present = label[index] ?? -1;
    if (present === unit) return;
    if (present < 0) {
      label[index] = unit;
      this.changes++;
      if (end.value !== undefined) this.#reached.set(end.value, this.changes);
      return;
    }
    if (!this.#sets.join(present, unit)) return;
    this.changes++;
    this.joins++;
  }

  /** The unit that all of these positions have; -1 if they have none, or several. */
  common(label: Int32Array, positions: Iterable<number>): number {
    let found = -1;
    for (const position of positions) {
      const unit = label[position] ?? -1;
      if (unit < 0) return -1;
      const root = this.find(unit);
      if (found >= 0 && root !== found) return -1;
      found = root;
    }
    return found;
  }

  #label({ value, axis }: Along): Int32Array | undefined {
    if (value === undefined) return undefined;
    const size = sizeAlong({ value, axis });
    if (size === undefined) return undefined;
    let axes = this.#labels.get(value);
    if (axes === undefined) {
      axes = new Map();
      this.#labels.set(value, axes);
    }
    let label = axes.get(axis);
    if (label === undefined) {
      label = new Int32Array(size).fill(-1);
      axes.set(axis, label);
    }
    return label;
  }
}
