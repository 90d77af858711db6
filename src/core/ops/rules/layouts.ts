/** The layouts that a Transpose or a reshape gives to a group of nodes (`layout-islands.ts`). */
import type { Node, Value } from "../../graph/graph.ts";
import { type Dim, fixedDims, sameDims } from "../../tensor/dims.ts";
import type { Dense } from "../../tensor/types.ts";
import { type AxisChange, flatNode, permutedNode } from "./axis-change.ts";
import { changeDims, dimsChange } from "./dims-change.ts";
import { isReshape, permutationOf } from "./layout-chains.ts";
import type { StructureScope } from "./rule.ts";

/** An operand in the new layout. */
export interface Moved {
  /** It needs another node. */
  readonly adds: boolean;
  /** It is read before the node that computes it now. */
  readonly skips: boolean;
  write(reader: Node): Value;
}

export interface Layout {
  /** Returns how a node changes; undefined if it cannot compute in this layout. */
  change(node: Node): AxisChange | undefined;
  /** Returns an operand of a group in the new layout. Equal results stand for one node. */
  enter(value: Value, readers: { has(node: Node): boolean }): Moved | undefined;
  /** Returns whether a node changes its first input to this layout. */
  isEqual(node: Node): boolean;
  dims(before: readonly Dim[]): readonly Dim[];
}

/** The maximum bytes of a stored operand that is copied because nodes outside the group read it, too. */
const maxCopied = 64;

const unchanged = (value: Value): Moved => ({ adds: false, skips: false, write: () => value });

function lazily(adds: boolean, skips: boolean, write: (reader: Node) => Value): Moved {
  let written: Value | undefined;
  return { adds, skips, write: (reader) => (written ??= write(reader)) };
}

/** Returns the results for equal values from a cache. */
function cached(enter: Layout["enter"]): Layout["enter"] {
  const cache = new Map<Value, Moved | undefined>();
  return (value, readers) => {
    const before = cache.get(value);
    // An added node stands before its reader, so other readers need another one.
    if (before !== undefined && (!before.adds || before.skips)) return before;
    const moved = enter(value, readers);
    cache.set(value, moved);
    return moved;
  };
}

function canMoveStored(value: Value, readers: { has(node: Node): boolean }): boolean {
  const bytes = value.tensor?.bytes ?? 0;
  return bytes <= maxCopied || [...value.uses].every(({ node }) => readers.has(node));
}

/** Returns a stored tensor with other dimensions in the same storage order. */
function restore(scope: StructureScope, value: Value, dims: readonly number[]): Moved {
  const { small } = value.tensor ?? {};
  return lazily(false, false, (reader) => {
    const emit = scope.emitBefore(reader);
    if (small === undefined) return emit.Reshape([value, dims]);
    const dense: Dense = { ...small, dims };
    return emit.constant(dense, value.name);
  });
}

export function transposeLayout(scope: StructureScope, perm: readonly number[]): Layout {
  const { operand, site, canChange } = scope;
  const rank = perm.length;
  const dimsOf = (value: Value | undefined): readonly Dim[] | undefined => value && operand(value)?.dims;
  const permute = <T>(list: readonly T[]): readonly T[] => perm.flatMap((axis) => list[axis] ?? []);

  const isScalar = (value: Value): boolean => {
    const dims = dimsOf(value);
    return dims?.length === 0 || (value.tensor !== undefined && dims !== undefined && isUnit(dims, rank));
  };

  const enterStored = (value: Value, dims: readonly number[]): Moved => {
    const padded = [...new Array<number>(rank - dims.length).fill(1), ...dims];
    const longAxes = perm.filter((axis) => padded[axis] !== 1);
    if (longAxes.every((axis, index) => index === 0 || axis > (longAxes[index - 1] ?? 0)))
      return restore(scope, value, permute(padded));
    return lazily(false, false, (reader) => {
      const emit = scope.emitBefore(reader);
      const full = dims.length === rank ? value : emit.Reshape([value, padded]);
      return emit.Transpose([full], { perm });
    });
  };

  return {
    dims: permute,
    isEqual: (node) => sameNumbers(permutationOf(scope, node), perm),
    change(node) {
      if (node.outputs.some((output) => output !== undefined && dimsOf(output)?.length !== rank)) return undefined;
      const change = permutedNode(node, site(node), rank, perm);
      const fits = change?.operands.every((input) => {
        const value = node.inputs[input];
        if (value === undefined || isScalar(value)) return true;
        const operandRank = dimsOf(value)?.length ?? rank + 1;
        return operandRank === rank || (value.tensor !== undefined && operandRank < rank);
      });
      return fits === true ? change : undefined;
    },
    enter: cached((value, readers) => {
      if (isScalar(value)) return unchanged(value);
      const dims = dimsOf(value);
      if (value.tensor !== undefined) {
        const fixed = fixedDims(dims);
        return canChange(value) && fixed !== undefined && canMoveStored(value, readers)
          ? enterStored(value, fixed)
          : undefined;
      }
      const { producer } = value;
      const before = producer && canChange(value) ? permutationOf(scope, producer) : undefined;
      const [x] = producer?.inputs ?? [];
      if (producer === undefined || before === undefined || x === undefined)
        return lazily(true, false, (reader) => scope.emitBefore(reader).Transpose([value], { perm }));
      const both = perm.map((axis) => before[axis] ?? 0);
      if (both.every((axis, index) => axis === index)) return { adds: false, skips: true, write: () => x };
      return lazily(true, true, () => scope.emitBefore(producer).Transpose([x], { perm: both }));
    }),
  };
}

const sameNumbers = (a: readonly number[] | undefined, b: readonly number[]): boolean =>
  a?.length === b.length && a.every((entry, index) => entry === b[index]);

const isUnit = (dims: readonly Dim[], maxRank: number): boolean =>
  dims.length <= maxRank && dims.every((dim) => dim === 1);

/** The dimensions of `last` for a group of elementwise nodes; undefined if they are unknown, or if no constant states them. */
export function reshapeLayout(scope: StructureScope): Layout | undefined {
  const { last, operand, site, canChange } = scope;
  const dimsOf = (value: Value | undefined): readonly Dim[] | undefined => value && operand(value)?.dims;
  const [from, to] = [dimsOf(last.inputs[0]), dimsOf(last.outputs[0])];
  if (from === undefined || to === undefined || sameDims(from, to)) return undefined;
  const { version } = site(last);

  /** The number of axes, counted from the end, that both layouts have. */
  const shared = from.toReversed().findIndex((dim, index) => dim !== to.at(-1 - index));
  const sharedAxes = shared < 0 ? from.length : shared;
  /** Returns whether an operand broadcasts along the shared axes only. */
  const isAligned = (dims: readonly Dim[]): boolean => {
    const firstLong = dims.findIndex((dim) => dim !== 1);
    return dims.length <= to.length && (firstLong < 0 || dims.length - firstLong <= sharedAxes);
  };

  return {
    dims: () => to,
    isEqual: (node) => isReshape(node) && sameDims(dimsOf(node.outputs[0]) ?? [], to) && to.length > 0,
    change(node) {
      const change = flatNode(node, site(node));
      const values = change?.operands.flatMap((input) => node.inputs[input] ?? []);
      if (values === undefined || node.outputs.length !== 1) return undefined;
      const shapes = values.map((value) => dimsOf(value));
      const fits = shapes.every((dims) => dims !== undefined && (sameDims(dims, from) || isAligned(dims)));
      const hasFull = values.some((value) => value.tensor === undefined && sameDims(dimsOf(value) ?? [], from));
      return fits && hasFull && from.length > 0 && sameDims(dimsOf(node.outputs[0]) ?? [], from) ? change : undefined;
    },
    enter: cached((value, readers) => {
      const dims = dimsOf(value);
      if (dims === undefined) return undefined;
      const fixed = fixedDims(to);
      if (value.tensor !== undefined) {
        if (isAligned(dims)) return unchanged(value);
        return fixed !== undefined && canChange(value) && canMoveStored(value, readers)
          ? restore(scope, value, fixed)
          : undefined;
      }
      if (!sameDims(dims, from)) return unchanged(value);
      const { producer } = value;
      const [x] = producer?.inputs ?? [];
      const before = producer !== undefined && isReshape(producer) && canChange(value) ? dimsOf(x) : undefined;
      const merged = before && dimsChange(before, to);
      if (producer !== undefined && x !== undefined && merged !== undefined) {
        if (merged.op === "none") return { adds: false, skips: true, write: () => x };
        return lazily(true, true, () => changeDims(scope.emitBefore(producer), x, merged, version));
      }
      const change = dimsChange(from, to);
      return change && lazily(true, false, (reader) => changeDims(scope.emitBefore(reader), value, change, version));
    }),
  };
}
