/**
 * Merges nodes with the same operator, attributes and inputs. Random nodes, unknown operators, and nodes with subgraphs are not merged.
 *   a = Shape(x)                            a = Shape(x)
 *   b = Shape(x)                        →   y = Add(a, a)
 *   y = Add(a, b)
 */
import { isDeterministic } from "#analysis";
import type { Graph, Node, Tensor, Value } from "#ir";
import { allGraphs, canTakeName, isUsed, nodeText, replaceUses, subgraphs } from "#ir";
import type { Change } from "#pass";
import { entryOf } from "../../core/ops/index.ts";
import { cleanUpChange, defineCleanUp } from "./clean-up.ts";

export const deduplicate = defineCleanUp("deduplicate", "Remove duplicate computations", (model) => {
  const changes: Change[] = [];
  const tensors = new Map<Tensor, number>();
  for (const graph of allGraphs(model.graph)) deduplicateGraph(graph, changes, tensors);
  return changes;
});

function deduplicateGraph(graph: Graph, changes: Change[], tensors: Map<Tensor, number>): void {
  const numbers = new Map<Value, number>();
  const firsts = new Map<string, Node>();
  const numberOf = <T>(map: Map<T, number>, key: T): number => {
    const number = map.get(key) ?? map.size;
    map.set(key, number);
    return number;
  };
  for (const node of graph.nodes()) {
    if (!isDeterministic(node) || subgraphs(node).length > 0) continue;
    if (node.outputs.some((output) => output?.role !== undefined)) continue;
    const attributes = [...node.attributes]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, attribute]) => [
        name,
        attribute.kind,
        serialize(attribute.value, (tensor) => numberOf(tensors, tensor)),
      ]);
    const inputs = node.inputs.map((input) => (input === undefined ? null : numberOf(numbers, input)));
    if (entryOf(node)?.commutes === true) inputs.sort((a, b) => (a ?? 0) - (b ?? 0));
    const key = JSON.stringify([node.domain, node.op, node.overload, node.outputs.length, inputs, attributes]);
    const first = firsts.get(key);
    if (first === undefined) firsts.set(key, node);
    else merge(graph, first, node, changes);
  }
}

function merge(graph: Graph, first: Node, second: Node, changes: Change[]): void {
  const pairs = second.outputs.flatMap((output, index) =>
    output === undefined || !isUsed(output) ? [] : [[first.outputs[index], output] as const],
  );
  for (const [replacement, output] of pairs) {
    if (replacement === undefined || (graph.isOutput(output) && !canTakeName(replacement, graph))) return;
  }
  const at = nodeText(second);
  for (const [replacement, output] of pairs) {
    if (replacement === undefined) continue;
    if (graph.isOutput(output)) replacement.type = output.stated ?? replacement.type;
    replaceUses(output, replacement);
  }
  graph.removeNode(second);
  changes.push(cleanUpChange(at, `computed once, as ${nodeText(first)}`, "computed once"));
}

/** Serializes an attribute value; tensors by identity, small ones by their elements. */
function serialize(value: unknown, identity: (tensor: Tensor) => number): unknown {
  if (typeof value === "bigint") return `${value}n`;
  // JSON has neither NaN nor infinities, and no sign of 0.
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (ArrayBuffer.isView(value))
    return [value.constructor.name, ...Array.from(value as Uint8Array, (item) => serialize(item, identity))];
  if (Array.isArray(value)) return value.map((item) => serialize(item, identity));
  if (isTensor(value)) {
    const { small } = value;
    return small === undefined ? identity(value) : [small.type, small.dims, serialize(small.data, identity)];
  }
  return value;
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === "object" && value !== null && "read" in value && "dims" in value;
}
