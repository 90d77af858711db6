/**
 * Describes chains of transpositions and reshapes by atoms, the smallest axes that the chain does not split:
 *      x [2, 48] → Reshape [2, 6, 8] → Transpose [0, 2, 1] → [2, 8, 6]: the input has the atoms 2 · 6 · 8, the result has them as 2 · 8 · 6
 * Axes of length 1 have no atoms, because they do not affect the storage order.
 */
import { type Dim, divideDims } from "../../tensor/dims.ts";

export interface Atom {
  readonly size: Dim;
}

/** The atoms in the storage order of the input, and the atoms of each axis of the chain's result. */
export interface AtomizedAxes {
  readonly storageOrder: readonly Atom[];
  readonly axes: readonly (readonly Atom[])[];
}

/** Returns one atom per axis. Undefined for an empty tensor, because products with 0 do not show where axes begin. */
export function atomize(dims: readonly Dim[]): AtomizedAxes | undefined {
  if (dims.includes(0)) return undefined;
  const axes = dims.map((size) => (size === 1 ? [] : [{ size }]));
  return { storageOrder: axes.flat(), axes };
}

export function transposeAtoms({ storageOrder, axes }: AtomizedAxes, perm: readonly number[]): AtomizedAxes {
  return { storageOrder, axes: perm.map((axis) => axes[axis] ?? []) };
}

/** Distributes the atoms over other dimensions and splits atoms if necessary. Undefined if an atom cannot be split at the boundary of an axis. */
export function reshapeAtoms({ storageOrder, axes }: AtomizedAxes, dims: readonly Dim[]): AtomizedAxes | undefined {
  const remainingAtoms = axes.flat();
  const parts = new Map<Atom, readonly Atom[]>();
  const result: Atom[][] = [];
  for (const dim of dims) {
    const group: Atom[] = [];
    for (let remainingSize: Dim = dim; remainingSize !== 1; ) {
      const atom = remainingAtoms.shift();
      if (atom === undefined) return undefined;
      const quotient = divideDims(remainingSize, atom.size);
      if (quotient !== undefined) {
        group.push(atom);
        remainingSize = quotient;
        continue;
      }
      const innerSize = divideDims(atom.size, remainingSize);
      if (innerSize === undefined) return undefined;
      const [outerPart, innerPart] = [{ size: remainingSize }, { size: innerSize }];
      parts.set(atom, [outerPart, innerPart]);
      group.push(outerPart);
      remainingAtoms.unshift(innerPart);
      remainingSize = 1;
    }
    result.push(group);
  }
  if (remainingAtoms.length > 0) return undefined;
  // Splits parts again that a later axis has split.
  const expand = (atom: Atom): readonly Atom[] => parts.get(atom)?.flatMap(expand) ?? [atom];
  return { storageOrder: storageOrder.flatMap(expand), axes: result };
}

/** Returns a function that gives the position of an atom in the storage order of the input. */
export function positionsOf({ storageOrder }: AtomizedAxes): (atom: Atom) => number {
  const positions = new Map(storageOrder.map((atom, position) => [atom, position]));
  return (atom) => positions.get(atom) ?? -1;
}

/** Returns whether each axis consists of atoms with consecutive positions. */
export const areConsecutive = (axes: readonly (readonly number[])[]): boolean =>
  axes.every((positions) => positions.every((position, index) => position === (positions[0] ?? 0) + index));
