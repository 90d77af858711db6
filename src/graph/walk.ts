/** Ways through graphs and into those inside their nodes. */
import type { Attribute } from "./attribute.ts";
import type { Node, Value } from "./elements.ts";
import type { Graph } from "./graph.ts";

/** `Conv "layer1.conv"`: how messages speak of a node. */
export function describe(node: Node): string {
  return `${node.domain === "" ? "" : `${node.domain}.`}${node.op} "${nodeName(node)}"`;
}

/** The name of a node; of one without a name that of the first value it makes. */
export function nodeName({ name, outputs }: Node): string {
  return name === "" ? (outputs.find((output) => output !== undefined)?.name ?? "") : name;
}

/** The graphs inside a node's attributes. */
export function subgraphs(node: Node): readonly Graph[] {
  let found = none;
  if (node.attributes.size === 0) return found;
  for (const attribute of node.attributes.values()) {
    const graphs = graphsOf(attribute);
    if (graphs.length > 0) found = found.length === 0 ? graphs : [...found, ...graphs];
  }
  return found;
}

/** One empty list for all nodes without graphs: every walk asks every node. */
const none: readonly Graph[] = [];

/** What a node reads: its inputs, and whatever its subgraphs take from outside. Each place once, in time linear in what is inside. */
export function usedValues(node: Node): readonly Value[] {
  const used: Value[] = [];
  const inside = new Set<Graph>();
  const collect = (value: Value | undefined): void => {
    if (value !== undefined && !inside.has(value.graph)) used.push(value);
  };
  const visit = (inner: Node): void => {
    for (const input of inner.inputs) collect(input);
    for (const graph of subgraphs(inner)) {
      inside.add(graph);
      for (const innermost of graph.nodes()) visit(innermost);
      for (const output of graph.outputs) collect(output);
    }
  };
  visit(node);
  return used;
}

/** All graphs of a model or graph: itself, then those inside its nodes, depth first. */
export function* allGraphs(graph: Graph): Generator<Graph, void, undefined> {
  yield graph;
  for (const node of graph.nodes()) for (const inner of subgraphs(node)) yield* allGraphs(inner);
}

/** The graphs in an attribute. */
export function graphsOf(attribute: Attribute): readonly Graph[] {
  return attribute.kind === "graph" ? [attribute.value] : attribute.kind === "graphs" ? attribute.value : none;
}
