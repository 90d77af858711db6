/** Copies graphs. The copy has new values and nodes but shares the tensors. */

import { type Carried, Graph, type Node, type Value } from "./graph.ts";
import type { Attribute } from "./graph-elements.ts";

/** Copies by original value; undefined omits inputs that read the value. Values outside the map are used directly. */
export type Copies = Map<Value, Value | undefined>;

export function copyGraph(graph: Graph): Graph {
  const copy = new Graph();
  copy.operators = graph.operators;
  copyInto(graph, copy, new Map());
  return copy;
}

function copyInto(from: Graph, to: Graph, copies: Copies): void {
  to.name = from.name;
  copyAnnotations(from, to);
  for (const value of from.values()) copyValue(value, to.addValue(value.name), copies);
  const copyOrSame = (value: Value): Value => copyOf(value, copies) ?? value;
  to.setInputs(from.inputs.map(copyOrSame));
  for (const node of from.nodes()) copyNode(node, to, copies, { node: node.name, output: ({ name }) => name });
  to.setOutputs(from.outputs.map(copyOrSame));
}

export function copyOf(value: Value, copies: Copies): Value | undefined {
  return copies.has(value) ? copies.get(value) : value;
}

export function copyValue(value: Value, copy: Value, copies: Copies): void {
  copy.type = value.stated;
  copy.inferred = value.inferred;
  copy.tensor = value.tensor;
  copy.role = value.role;
  copy.declared = value.declared;
  copy.foreign = value.foreign;
  copyAnnotations(value, copy);
  copies.set(value, copy);
}

/** Copies a node with its subgraphs to the end of a graph, or before another node. */
export function copyNode(
  node: Node,
  to: Graph,
  copies: Copies,
  names: { readonly node: string; readonly output: (value: Value) => string },
  place: { readonly before?: Node | undefined } = {},
): Node {
  const copy = to.addNode(
    {
      op: node.op,
      domain: node.domain,
      overload: node.overload,
      name: names.node,
      inputs: node.inputs.map((input) => (input === undefined ? undefined : copyOf(input, copies))),
      outputs: node.outputs.map((output) => (output === undefined ? undefined : names.output(output))),
    },
    place,
  );
  copyAnnotations(node, copy);
  node.outputs.forEach((output, index) => {
    const copiedOutput = copy.outputs[index];
    // A value that already has a copy or a replacement keeps this one.
    if (output !== undefined && copiedOutput !== undefined && !copies.has(output))
      copyValue(output, copiedOutput, copies);
  });
  for (const [name, attribute] of node.attributes) to.setAttribute(copy, name, copyAttribute(attribute, copy, copies));
  return copy;
}

function copyAttribute(attribute: Attribute, owner: Node, copies: Copies): Attribute {
  const copy = (graph: Graph): Graph => {
    const inner = new Graph(owner);
    copyInto(graph, inner, copies);
    return inner;
  };
  if (attribute.kind === "graph") return { ...attribute, value: copy(attribute.value) };
  if (attribute.kind === "graphs") return { ...attribute, value: attribute.value.map(copy) };
  return attribute;
}

function copyAnnotations(from: Carried, to: Carried): void {
  to.doc = from.doc;
  to.unknown = from.unknown;
  to.metadata = from.metadata;
}
