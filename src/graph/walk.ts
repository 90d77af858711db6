/** Ways through graphs and into those inside their nodes. */
import type { Attribute } from "./attribute.ts";
import type { Node, Value } from "./elements.ts";
import type { Graph } from "./graph.ts";

/** `Conv "layer1.conv"`: how messages speak of a node. Unnamed nodes are named by what they produce. */
export function describe(node: Node): string {
  const name = node.name === "" ? node.outputs.find((output) => output !== undefined)?.name : node.name;
  return `${node.domain === "" ? "" : `${node.domain}.`}${node.op} "${name ?? ""}"`;
}

/** The graphs inside a node's attributes. */
export function* subgraphs(node: Node): Generator<Graph, void, undefined> {
  for (const attribute of node.attributes.values()) yield* graphsOf(attribute);
}

/** What a node reads: its inputs, and whatever its subgraphs take from outside. */
export function* usedValues(node: Node): Generator<Value, void, undefined> {
  for (const input of node.inputs) if (input !== undefined) yield input;
  for (const graph of subgraphs(node)) {
    for (const inner of graph.nodes()) for (const value of usedValues(inner)) if (value.graph !== graph) yield value;
    for (const output of graph.outputs) if (output.graph !== graph) yield output;
  }
}

/** All graphs of a model or graph: itself, then those inside its nodes, depth first. */
export function* allGraphs(graph: Graph): Generator<Graph, void, undefined> {
  yield graph;
  for (const node of graph.nodes()) for (const inner of subgraphs(node)) yield* allGraphs(inner);
}

/** The graphs in an attribute. */
export function graphsOf(attribute: Attribute): readonly Graph[] {
  return attribute.kind === "graph" ? [attribute.value] : attribute.kind === "graphs" ? attribute.value : [];
}
