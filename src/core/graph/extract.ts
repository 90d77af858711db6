import { modelError } from "../errors.ts";
import { type Copies, copyNode, copyValue } from "./copy.ts";
import { Graph, type Node, nodeText, usedValues, type Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { parameter } from "./role.ts";
import { sortTopologically } from "./topological-order.ts";

/**
 * Returns a model that computes `outputs` from `inputs`, in this order, and from further inputs of the given model if they are needed. Both models
 * share tensors. A value tied to a tensor outside the part becomes a parameter.
 * @throws PithError E_MODEL if an output depends on an input of a subgraph (a loop body) that is not among `inputs`.
 */
export function extract(model: Model, outputs: readonly Value[], inputs: readonly Value[] = []): Model {
  const graph = new Graph();
  graph.operators = model.graph.operators;
  const copies: Copies = new Map();
  const name = (value: Value): string => graph.freshName(value.name);
  for (const value of inputs) copies.set(value, graph.addInput(name(value), value.type));
  const feeds = new Set<Value>();
  const sourceNode = (value: Value): Node | undefined => {
    if (copies.has(value)) return undefined;
    if (value.producer !== undefined) return value.producer;
    if (value.tensor !== undefined || value.foreign?.sparse !== undefined)
      copyValue(value, graph.addValue(name(value)), copies);
    else if (value.graph === model.graph) feeds.add(value);
    else throw modelError(`"${value.name}" is an input of a graph inside a node: nothing feeds it outside.`);
    return undefined;
  };
  const sourceNodes = (values: readonly Value[]): Node[] => values.flatMap((value) => sourceNode(value) ?? []);
  const nodes = sortTopologically(sourceNodes(outputs), (node) => sourceNodes(usedValues(node)), nodeText);
  const neededInputs = model.graph.inputs.filter((value) => feeds.has(value));
  for (const value of neededInputs) copyValue(value, graph.addInput(name(value), undefined), copies);
  for (const node of nodes) copyNode(node, graph, copies, { node: node.name, output: name });
  graph.setOutputs(outputs.map((value) => copies.get(value) ?? value));
  for (const value of graph.values())
    if (value.role?.kind === "tied" && graph.value(value.role.name) === undefined) value.role = parameter;
  const part = model.withGraph(graph);
  // Up to IR version 3, stored tensors would have to be listed as inputs.
  part.header.irVersion = Math.max(part.header.irVersion, 4);
  return part;
}
