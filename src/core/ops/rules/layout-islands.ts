/**
 * Moves a Transpose or a reshape from the end of a group of nodes (an island) to the group's inputs, if fewer nodes remain.
 *      t = Transpose(x) {perm=[0, 2, 3, 1]}
 *      s = Softmax(t) {axis=3}                      →    y = Softmax(x) {axis=1}
 *      y = Transpose(s) {perm=[0, 3, 1, 2]}
 * At an input, the moved node cancels or merges with a Transpose or reshape. Stored operands are rearranged once, instead of at run time.
 */
import type { Dense, Dim, Node, Use, Value } from "#graph";
import { fixedDims, isUsed, replaceUses, sameDims } from "#graph";
import { listFor } from "../shared/rules.ts";
import { type AxisChange, changeForPermutation, changeForReshape } from "./axis-change.ts";
import { changeDims, dimsChange } from "./dims-change.ts";
import { reshapeOperators } from "./layout.ts";
import { isReshape, permutationOf } from "./layout-chains.ts";
import type { Structure, StructureScope } from "./rule.ts";

const maxIslandNodes = 64;

/** A group of nodes, producers first, and the change of each node to the new layout. */
type Island = ReadonlyMap<Node, AxisChange>;

const usedOutputs = ({ outputs }: Node): readonly Value[] =>
  outputs.filter((value) => value !== undefined && isUsed(value)).map((value) => value as Value);

/** Collects the nodes from which `value` is computed and that can compute in the new layout, producers first. */
function collect(scope: StructureScope, layout: Layout, value: Value): Map<Node, AxisChange> {
  const seen = new Set<Node>();
  const island = new Map<Node, AxisChange>();
  const visit = ({ producer }: Value): void => {
    if (producer === undefined || seen.has(producer) || seen.size >= maxIslandNodes) return;
    seen.add(producer);
    if (!usedOutputs(producer).every(scope.canChange)) return;
    const change = layout.change(producer);
    if (change === undefined) return;
    for (const input of change.operands) {
      const operand = producer.inputs[input];
      if (operand !== undefined) visit(operand);
    }
    island.set(producer, change);
  };
  visit(value);
  return island;
}

/** Removes from the group the nodes whose outputs other nodes read in the old layout. */
function shrink(island: Map<Node, AxisChange>, isExit: (use: Use) => boolean): void {
  const isInside = (use: Use): boolean => isExit(use) || island.get(use.node)?.operands.includes(use.input) === true;
  let count: number;
  do {
    count = island.size;
    for (const node of [...island.keys()].toReversed()) {
      const uses = usedOutputs(node).flatMap((output) => [...output.uses]);
      if (!uses.every(isInside)) island.delete(node);
    }
  } while (island.size < count);
}

/** An operand of the group that is computed outside of the group. */
interface Entry {
  readonly reader: Node;
  readonly input: number;
  readonly value: Value;
  readonly operand: MovedOperand;
}

/** Returns the operands that are computed outside of the group; undefined if an operand cannot get the new layout. */
function findEntries(island: Island, layout: Layout): readonly Entry[] | undefined {
  const entries: Entry[] = [];
  for (const [reader, { operands }] of island) {
    for (const input of operands) {
      const value = reader.inputs[input];
      if (value === undefined || (value.producer !== undefined && island.has(value.producer))) continue;
      const operand = layout.enter(value, island);
      if (operand === undefined) return undefined;
      entries.push({ reader, input, value, operand });
    }
  }
  return entries;
}

/** Returns the producers of operands that have no readers any more after the group has changed its layout. */
function idleEntries(scope: StructureScope, entries: readonly Entry[], island: Island): readonly Node[] {
  const values = new Set(entries.filter(({ operand }) => operand.skipsProducer).map(({ value }) => value));
  return [...values].flatMap((value) => {
    const { producer } = value;
    const isInside = ({ node, input }: Use): boolean => island.get(node)?.operands.includes(input) === true;
    const isIdle = producer !== undefined && scope.canChange(value) && [...value.uses].every(isInside);
    return isIdle ? [producer] : [];
  });
}

function moveLayout(scope: StructureScope, layout: Layout): { readonly value: Value } | undefined {
  const { last } = scope;
  const [value] = last.inputs;
  if (value === undefined) return undefined;
  const isExit = ({ node, input }: Use): boolean => {
    if (input !== 0 || node.graph !== last.graph) return false;
    return node === last || (layout.isEqual(node) && usedOutputs(node).every(scope.canChange));
  };
  const island = collect(scope, layout, value);
  shrink(island, isExit);
  if (value.producer === undefined || !island.has(value.producer)) return undefined;
  const entries = findEntries(island, layout);
  if (entries === undefined) return undefined;
  const exits = new Set<Node>();
  for (const node of island.keys())
    for (const output of usedOutputs(node)) for (const use of output.uses) if (isExit(use)) exits.add(use.node);
  const idleOperands = idleEntries(scope, entries, island);
  const addedCount = new Set(entries.map(({ operand }) => operand).filter(({ addsNode }) => addsNode)).size;
  if (addedCount >= exits.size + idleOperands.length) return undefined;
  for (const { reader, input, operand } of entries) reader.graph.setInput(reader, input, operand.write(reader));
  for (const [node, change] of island) changeNode(scope, node, change, layout);
  for (const exit of exits) {
    const [source] = exit.inputs;
    const [output] = exit.outputs;
    if (exit === last || source === undefined || output === undefined) continue;
    replaceUses(output, source);
    exit.graph.removeNode(exit);
  }
  for (const node of idleOperands) node.graph.removeNode(node);
  return { value };
}

function changeNode({ emitBefore, visit }: StructureScope, node: Node, change: AxisChange, layout: Layout): void {
  for (const [name, attribute] of Object.entries(change.attributes ?? {}))
    node.graph.setAttribute(node, name, attribute);
  for (const [input, numbers] of Object.entries(change.lists ?? {})) {
    const list = listFor(node, Number(input), numbers);
    node.graph.setInput(node, Number(input), emitBefore(node).constant(list, `${node.outputs[0]?.name}_list`));
  }
  for (const output of node.outputs) {
    if (output?.stated === undefined) continue;
    const { type, dims } = output.stated;
    output.type = { type, dims: dims && layout.dims(dims) };
  }
  visit(node);
}

export const layoutIslands: readonly Structure[] = [
  {
    id: "transpose-through",
    description: "a Transpose moves through operators and meets another Transpose",
    last: ["Transpose"],
    fuse(scope) {
      const perm = permutationOf(scope, scope.last);
      return perm && moveLayout(scope, transposeLayout(scope, perm));
    },
  },
  {
    id: "reshape-through",
    description: "a reshape moves through operators and meets another reshape",
    last: reshapeOperators,
    fuse(scope) {
      const layout = isReshape(scope.last) ? reshapeLayout(scope) : undefined;
      return layout && moveLayout(scope, layout);
    },
  },
];

interface MovedOperand {
  /** Whether a new node must be added to compute the operand. */
  readonly addsNode: boolean;
  /** Whether the new layout is computed from the input of the operand's producer, so that the producer is not needed for it. */
  readonly skipsProducer: boolean;
  write(reader: Node): Value;
}

interface Layout {
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

function transposeLayout(scope: StructureScope, perm: readonly number[]): Layout {
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
function reshapeLayout(scope: StructureScope): Layout | undefined {
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
