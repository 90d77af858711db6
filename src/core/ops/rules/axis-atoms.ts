/**
 * Describes chains of transpositions and reshapes by atoms, the smallest axes that the chain moves as a whole:
 *      x [2, 48] → Reshape [2, 6, 8] → Transpose [0, 2, 1] → [2, 8, 6]: stored 2 · 6 · 8, read 2 · 8 · 6
 * Axes of length 1 have no atoms, because they do not affect the storage order.
 */
import { type Dim, divideDims } from "../../tensor/dims.ts";

export interface Atom {
  readonly size: Dim;
}

/** The atoms of an input in storage order, and of each axis of the chain's result. */
export interface AtomizedAxes {
  readonly stored: readonly Atom[];
  readonly axes: readonly (readonly Atom[])[];
}

/** Returns one atom per axis; undefined for an empty tensor, whose axes cannot be told apart by products. */
export function atomize(dims: readonly Dim[]): AtomizedAxes | undefined {
  if (dims.includes(0)) return undefined;
  const axes = dims.map((size) => (size === 1 ? [] : [{ size }]));
  return { stored: axes.flat(), axes };
}

export function transposeAtoms({ stored, axes }: AtomizedAxes, perm: readonly number[]): AtomizedAxes {
  return { stored, axes: perm.map((axis) => axes[axis] ?? []) };
}

/** Distributes the atoms over other dimensions and splits them if necessary; undefined if no axis boundaries coincide. */
export function reshapeAtoms({ stored, axes }: AtomizedAxes, dims: readonly Dim[]): AtomizedAxes | undefined {
  const remaining = axes.flat();
  const parts = new Map<Atom, readonly Atom[]>();
  const result: Atom[][] = [];
  for (const dim of dims) {
    const group: Atom[] = [];
    for (let need: Dim = dim; need !== 1; ) {
      const atom = remaining.shift();
      if (atom === undefined) return undefined;
      const rest = divideDims(need, atom.size);
      if (rest !== undefined) {
        group.push(atom);
        need = rest;
        continue;
      }
      const inner = divideDims(atom.size, need);
      if (inner === undefined) return undefined;
      const [outerPart, innerPart] = [{ size: need }, { size: inner }];
      parts.set(atom, [outerPart, innerPart]);
      group.push(outerPart);
      remaining.unshift(innerPart);
      need = 1;
    }
    result.push(group);
  }
  if (remaining.length > 0) return undefined;
  // A part can be split again.
  const expand = (atom: Atom): readonly Atom[] => parts.get(atom)?.flatMap(expand) ?? [atom];
  return { stored: stored.flatMap(expand), axes: result };
}

/** Returns a number for each atom: its position in storage order. */
export function positionsOf({ stored }: AtomizedAxes): (atom: Atom) => number {
  const positions = new Map(stored.map((atom, position) => [atom, position]));
  return (atom) => positions.get(atom) ?? -1;
}

/** Returns whether each axis consists of atoms with consecutive positions. */
export const areConsecutive = (axes: readonly (readonly number[])[]): boolean =>
  axes.every((positions) => positions.every((position, index) => position === (positions[0] ?? 0) + index));
