/**
 * Moves a Transpose or a reshape from the end of a group of nodes (an island) to the group's inputs, if fewer nodes remain.
 *      t = Transpose(x) {perm=[0, 2, 3, 1]}
 *      s = Softmax(t) {axis=3}                      →    y = Softmax(x) {axis=1}
 *      y = Transpose(s) {perm=[0, 3, 1, 2]}
 * At an input, the moved node cancels or merges with a Transpose or reshape. Stored operands are rearranged once, instead of at run time.
 */
import type { Node, Use, Value } from "../../graph/graph.ts";
import { isUsed } from "../../graph/remove-unused.ts";
import { replaceUses } from "../../graph/replace.ts";
import { listFor } from "../shared/rules.ts";
import type { AxisChange } from "./axis-change.ts";
import { reshapeOperators } from "./layout.ts";
import { isReshape, permutationOf } from "./layout-chains.ts";
import { type Layout, type MovedOperand, reshapeLayout, transposeLayout } from "./layouts.ts";
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
