/** Defines the layout that a group of nodes gets if a Transpose or reshape moves from its end to its inputs (`layout-islands.ts`). */
import type { Node, Value } from "../../graph/graph.ts";
import { type Dim, fixedDims, sameDims } from "../../tensor/dims.ts";
import type { Dense } from "../../tensor/types.ts";
import { type AxisChange, changeForPermutation, changeForReshape } from "./axis-change.ts";
import { changeDims, dimsChange } from "./dims-change.ts";
import { isReshape, permutationOf } from "./layout-chains.ts";
import type { StructureScope } from "./rule.ts";

export interface MovedOperand {
  /** Whether a new node must be added to compute the operand. */
  readonly addsNode: boolean;
  /** Whether the new layout is computed from the input of the operand's producer, so that the producer is not needed for it. */
  readonly skipsProducer: boolean;
  write(reader: Node): Value;
}

export interface Layout {
  /** Returns how a node changes; undefined if it cannot compute in this layout. */
  change(node: Node): AxisChange | undefined;
  /** Returns an operand of the group in the new layout. If two calls return the same object, they share one new node. */
  enter(value: Value, readers: { has(node: Node): boolean }): MovedOperand | undefined;
  /** Returns whether a node changes its first input to this layout. */
  isEqual(node: Node): boolean;
  /** Converts the dimensions of a value to the new layout. */
  dims(before: readonly Dim[]): readonly Dim[];
}

/** The maximum bytes of a stored operand that is copied into the new layout although nodes outside of the group read the operand, too. */
const maxCopiedBytes = 64;

const keepOperand = (value: Value): MovedOperand => ({ addsNode: false, skipsProducer: false, write: () => value });

function writeOnce(addsNode: boolean, skipsProducer: boolean, write: (reader: Node) => Value): MovedOperand {
  let result: Value | undefined;
  return { addsNode, skipsProducer, write: (reader) => (result ??= write(reader)) };
}

/** Makes `enter` return one object per value, so that readers share new nodes. */
function cacheByValue(enter: Layout["enter"]): Layout["enter"] {
  const cache = new Map<Value, MovedOperand | undefined>();
  return (value, readers) => {
    const cachedOperand = cache.get(value);
    // A node that was added just before its reader cannot be shared, because other readers can come earlier.
    if (cachedOperand !== undefined && (!cachedOperand.addsNode || cachedOperand.skipsProducer)) return cachedOperand;
    const operand = enter(value, readers);
    cache.set(value, operand);
    return operand;
  };
}

function canMoveStored(value: Value, readers: { has(node: Node): boolean }): boolean {
  const bytes = value.tensor?.bytes ?? 0;
  return bytes <= maxCopiedBytes || [...value.uses].every(({ node }) => readers.has(node));
}

/** Returns a stored operand with other dimensions in the same storage order. */
function restore(scope: StructureScope, value: Value, dims: readonly number[]): MovedOperand {
  const { small } = value.tensor ?? {};
  return writeOnce(false, false, (reader) => {
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

  const enterStored = (value: Value, dims: readonly number[]): MovedOperand => {
    const paddedDims = [...new Array<number>(rank - dims.length).fill(1), ...dims];
    const longAxes = perm.filter((axis) => paddedDims[axis] !== 1);
    if (longAxes.every((axis, index) => index === 0 || axis > (longAxes[index - 1] ?? 0)))
      return restore(scope, value, permute(paddedDims));
    return writeOnce(false, false, (reader) => {
      const emit = scope.emitBefore(reader);
      const paddedValue = dims.length === rank ? value : emit.Reshape([value, paddedDims]);
      return emit.Transpose([paddedValue], { perm });
    });
  };

  return {
    dims: permute,
    isEqual: (node) => sameNumbers(permutationOf(scope, node), perm),
    change(node) {
      if (node.outputs.some((output) => output !== undefined && dimsOf(output)?.length !== rank)) return undefined;
      const change = changeForPermutation(node, site(node), rank, perm);
      const haveFittingRanks = change?.operands.every((input) => {
        const value = node.inputs[input];
        if (value === undefined || isScalar(value)) return true;
        const operandRank = dimsOf(value)?.length ?? rank + 1;
        return operandRank === rank || (value.tensor !== undefined && operandRank < rank);
      });
      return haveFittingRanks === true ? change : undefined;
    },
    enter: cacheByValue((value, readers) => {
      if (isScalar(value)) return keepOperand(value);
      const dims = dimsOf(value);
      if (value.tensor !== undefined) {
        const knownDims = fixedDims(dims);
        return canChange(value) && knownDims !== undefined && canMoveStored(value, readers)
          ? enterStored(value, knownDims)
          : undefined;
      }
      const { producer } = value;
      const before = producer && canChange(value) ? permutationOf(scope, producer) : undefined;
      const [x] = producer?.inputs ?? [];
      if (producer === undefined || before === undefined || x === undefined)
        return writeOnce(true, false, (reader) => scope.emitBefore(reader).Transpose([value], { perm }));
      const combinedPerm = perm.map((axis) => before[axis] ?? 0);
      if (combinedPerm.every((axis, index) => axis === index))
        return { addsNode: false, skipsProducer: true, write: () => x };
      return writeOnce(true, true, () => scope.emitBefore(producer).Transpose([x], { perm: combinedPerm }));
    }),
  };
}

const sameNumbers = (a: readonly number[] | undefined, b: readonly number[]): boolean =>
  a?.length === b.length && a.every((entry, index) => entry === b[index]);

const isUnit = (dims: readonly Dim[], maxRank: number): boolean =>
  dims.length <= maxRank && dims.every((dim) => dim === 1);

/** Returns the layout in which elementwise nodes compute with the output dimensions of the reshape `last`; undefined if dimensions are unknown. */
export function reshapeLayout(scope: StructureScope): Layout | undefined {
  const { last, operand, site, canChange } = scope;
  const dimsOf = (value: Value | undefined): readonly Dim[] | undefined => value && operand(value)?.dims;
  const [from, to] = [dimsOf(last.inputs[0]), dimsOf(last.outputs[0])];
  if (from === undefined || to === undefined || sameDims(from, to)) return undefined;
  const { version } = site(last);

  /** The number of trailing axes that are equal in both layouts. */
  const firstDifference = from.toReversed().findIndex((dim, index) => dim !== to.at(-1 - index));
  const sharedAxes = firstDifference < 0 ? from.length : firstDifference;
  /** Returns whether an operand has axes longer than 1 only among these trailing axes, so that it broadcasts equally in both layouts. */
  const isAligned = (dims: readonly Dim[]): boolean => {
    const firstLong = dims.findIndex((dim) => dim !== 1);
    return dims.length <= to.length && (firstLong < 0 || dims.length - firstLong <= sharedAxes);
  };

  return {
    dims: () => to,
    isEqual: (node) => isReshape(node) && sameDims(dimsOf(node.outputs[0]) ?? [], to) && to.length > 0,
    change(node) {
      const change = changeForReshape(node, site(node));
      const values = change?.operands.flatMap((input) => node.inputs[input] ?? []);
      if (values === undefined || node.outputs.length !== 1) return undefined;
      const shapes = values.map((value) => dimsOf(value));
      const haveFittingShapes = shapes.every((dims) => dims !== undefined && (sameDims(dims, from) || isAligned(dims)));
      const hasComputedOperand = values.some(
        (value) => value.tensor === undefined && sameDims(dimsOf(value) ?? [], from),
      );
      return haveFittingShapes && hasComputedOperand && from.length > 0 && sameDims(dimsOf(node.outputs[0]) ?? [], from)
        ? change
        : undefined;
    },
    enter: cacheByValue((value, readers) => {
      const dims = dimsOf(value);
      if (dims === undefined) return undefined;
      const knownDims = fixedDims(to);
      if (value.tensor !== undefined) {
        if (isAligned(dims)) return keepOperand(value);
        return knownDims !== undefined && canChange(value) && canMoveStored(value, readers)
          ? restore(scope, value, knownDims)
          : undefined;
      }
      if (!sameDims(dims, from)) return keepOperand(value);
      const { producer } = value;
      const [x] = producer?.inputs ?? [];
      const before = producer !== undefined && isReshape(producer) && canChange(value) ? dimsOf(x) : undefined;
      const mergedChange = before && dimsChange(before, to);
      if (producer !== undefined && x !== undefined && mergedChange !== undefined) {
        if (mergedChange.op === "none") return { addsNode: false, skipsProducer: true, write: () => x };
        return writeOnce(true, true, () => changeDims(scope.emitBefore(producer), x, mergedChange, version));
      }
      const change = dimsChange(from, to);
      return change && writeOnce(true, false, (reader) => changeDims(scope.emitBefore(reader), value, change, version));
    }),
  };
}
