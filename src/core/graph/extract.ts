import { PithError } from "../errors.ts";
import { type Copies, copyNode, copyValue } from "./clone.ts";
import { describe, Graph, type Node, usedValues, type Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { inOrder } from "./order.ts";
import { parameter } from "./role.ts";

/**
 * Returns a model that computes `outputs` from `inputs`, in that order, and from further model inputs as needed. Names and roles stay, tensors
 * are shared, and the given model is unchanged. A value tied to a tensor outside becomes a parameter. Values can be in subgraphs.
 * Takes time in the size of the part, not of the model.
 * @throws PithError E_MODEL if an output depends on an input of a subgraph (the body of a loop) that is not among `inputs`.
 */
export function extract(model: Model, outputs: readonly Value[], inputs: readonly Value[] = []): Model {
  const graph = new Graph();
  graph.operators = model.graph.operators;
  const copies: Copies = new Map();
  const name = (value: Value): string => graph.freshName(value.name);
  for (const value of inputs) copies.set(value, graph.addInput(name(value), value.type));
  const feeds = new Set<Value>();
  const source = (value: Value): Node | undefined => {
    if (copies.has(value)) return undefined;
    if (value.producer !== undefined) return value.producer;
    if (value.tensor !== undefined || value.foreign?.sparse !== undefined)
      copyValue(value, graph.addValue(name(value)), copies);
    else if (value.graph === model.graph) feeds.add(value);
    else
      throw new PithError("E_MODEL", `"${value.name}" is an input of a graph inside a node: nothing feeds it outside.`);
    return undefined;
  };
  const sources = (values: readonly Value[]): Node[] => values.flatMap((value) => source(value) ?? []);
  const nodes = inOrder(sources(outputs), (node) => sources(usedValues(node)), describe);
  const fed = model.graph.inputs.filter((value) => feeds.has(value));
  for (const value of fed) copyValue(value, graph.addInput(name(value), undefined), copies);
  for (const node of nodes) copyNode(node, graph, copies, { node: node.name, output: name });
  graph.setOutputs(outputs.map((value) => copies.get(value) ?? value));
  for (const value of graph.values())
    if (value.role?.kind === "tied" && graph.value(value.role.name) === undefined) value.role = parameter;
  const part = model.withGraph(graph);
  // Up to IR 3 stored tensors must be inputs, too.
  part.header.irVersion = Math.max(part.header.irVersion, 4);
  return part;
}
