/** Copies of graphs. Values and nodes are new; tensors are shared, since they are immutable. */
import type { Attribute } from "./attribute.ts";
import { type Carried, Graph, type Node, type Value } from "./graph.ts";

/** A copy of a main graph and everything inside it. */
export function copyGraph(graph: Graph): Graph {
  const copy = new Graph();
  copyInto(graph, copy, new Map());
  return copy;
}

function copyInto(from: Graph, to: Graph, copies: Map<Value, Value>): void {
  to.name = from.name;
  carry(from, to);
  for (const value of from.values()) {
    const copy = to.addValue(value.name, value.stated);
    copy.inferred = value.inferred;
    copy.tensor = value.tensor;
    copy.role = value.role;
    copy.declared = value.declared;
    copy.foreign = value.foreign;
    carry(value, copy);
    copies.set(value, copy);
  }
  const copied = (value: Value): Value => copies.get(value) ?? value;
  to.setInputs(from.inputs.map(copied));
  for (const node of from.nodes()) {
    const copy = to.addNode({
      op: node.op,
      domain: node.domain,
      overload: node.overload,
      name: node.name,
      inputs: node.inputs.map((input) => (input === undefined ? undefined : copied(input))),
      outputs: node.outputs.map((output) => output?.name),
    });
    carry(node, copy);
    for (const [name, attribute] of node.attributes)
      to.setAttribute(copy, name, copyAttribute(attribute, copy, copies));
  }
  to.setOutputs(from.outputs.map(copied));
}

/** An attribute for a node of another graph; graphs inside are copied, and read what `copies` has in place of values from outside. */
export function copyAttribute(attribute: Attribute, owner: Node, copies: Map<Value, Value>): Attribute {
  const copy = (graph: Graph): Graph => {
    const inner = new Graph(owner);
    copyInto(graph, inner, copies);
    return inner;
  };
  if (attribute.kind === "graph") return { ...attribute, value: copy(attribute.value) };
  if (attribute.kind === "graphs") return { ...attribute, value: attribute.value.map(copy) };
  return attribute;
}

/** Documentation, metadata and unknown fields go along. */
export function carry(from: Carried, to: Carried): void {
  to.doc = from.doc;
  to.unknown = from.unknown;
  for (const [key, value] of from.metadata) to.metadata.set(key, value);
}
