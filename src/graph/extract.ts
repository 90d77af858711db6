/** Part of a model as a model of its own: what lies between some of its values. */
import { PithError } from "../errors.ts";
import { type Copies, copyNode, copyValue } from "./clone.ts";
import { describe, Graph, type Node, usedValues, type Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { inOrder } from "./order.ts";
import { parameter } from "./role.ts";

/**
 * The model that computes `outputs` from `inputs`, in their order, and from whatever inputs of the model are needed beside them. Names and
 * roles stay, tensors are shared, the given model is not changed. What is tied to a tensor outside of the part is a parameter of its own. Values may also be those of graphs inside nodes.
 *
 * Costs the part, not the model.
 * @throws PithError E_MODEL if an output depends on an input of a graph inside a node (the body of a loop) that is not among `inputs`.
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
  // Up to IR 3 stored tensors are inputs, too; from 4 on they need not be.
  part.header.irVersion = Math.max(part.header.irVersion, 4);
  return part;
}
