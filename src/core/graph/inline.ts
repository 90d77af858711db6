/** Copies a graph into another one: a branch with a constant condition, a function body, or a teacher next to a student. */

import { Miss } from "../errors.ts";
import { type Copies, copyNode, copyOf, copyValue } from "./copy.ts";
import { allValues, type Graph, type Node, subgraphs, type Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { canTakeName } from "./replace.ts";

export interface InlineOptions {
  readonly before?: Node | undefined;
  /** Replaces values of `from`, such as its inputs, by values of the target graph, or by undefined to omit them. */
  readonly replacements?: ReadonlyMap<Value, Value | undefined>;
  readonly prefix?: string;
}

/** Copies the nodes and stored tensors of `from` into `to`. Outer values are read directly. `restoreNames` can restore names that were taken. */
export function inlineGraph(
  from: Graph,
  to: Graph,
  { before, replacements = new Map(), prefix = "" }: InlineOptions,
): InlinedGraph {
  const copies: Copies = new Map(replacements);
  for (const value of from.values()) {
    if (value.producer === undefined && !replacements.has(value))
      copyValue(value, to.addValue(to.freshName(`${prefix}${value.name}`)), copies);
  }
  const nodes: Node[] = [];
  for (const node of from.nodes()) {
    // ONNX Runtime rejects two nodes with the same name.
    const name = node.name === "" ? "" : to.freshNodeName(`${prefix}${node.name}`);
    // Compares with the names of the node's other outputs, because these values do not exist yet.
    const outputNames = new Set<string>();
    const output = (value: Value): string => {
      const stem = `${prefix}${value.name}`;
      let candidate = to.freshName(stem);
      for (let number = 1; outputNames.has(candidate); number++) candidate = to.freshName(`${stem}_${number}`);
      outputNames.add(candidate);
      return candidate;
    };
    nodes.push(copyNode(node, to, copies, { node: name, output }, { before }));
  }
  const names = new Map<Value, string>();
  for (const [value, copy] of copies)
    if (copy !== undefined && value.graph === from && !replacements.has(value)) names.set(copy, value.name);
  return { outputs: from.outputs.map((value) => copyOf(value, copies)), nodes, names };
}

export interface InlinedGraph {
  /** The copied outputs, in order. An output is undefined if it is an input that `replacements` omits. */
  readonly outputs: readonly (Value | undefined)[];
  readonly nodes: readonly Node[];
  /** The original names of the copied values. */
  readonly names: ReadonlyMap<Value, string>;
}

/** Gives copied values (`canTakeName`) their original names if nothing else in the model has these names. */
export function restoreNames(graph: Graph, { names }: Pick<InlinedGraph, "names">): void {
  for (const [value, name] of names) {
    if (value.graph !== graph || graph.ownValue(value.name) !== value || !canTakeName(value, graph)) continue;
    if (value.name !== name && graph.freshName(name) === name) graph.rename(value, name);
  }
}

/** The result of `mergeGraph`, which copies a guest model into a host model. */
export interface MergedGraph {
  /** The guest's output values in the host, by their original names. */
  readonly outputs: ReadonlyMap<string, Value>;
  /** All values of the guest's main graph in the host, except replaced inputs, by their original names. */
  readonly values: ReadonlyMap<string, Value>;
}

/**
 * Copies the main graph of `guest` into `host`, with prefixed names. The copies get no roles, so they are not trained. Returns a Miss if opset
 * versions differ; nothing changes then.
 * @param inputs Values of `host` that replace the inputs of `guest`.
 */
export function mergeGraph(
  host: Model,
  guest: Model,
  prefix: string,
  inputs: ReadonlyMap<Value, Value>,
): MergedGraph | Miss {
  for (const [domain, version] of guest.opsets) {
    const hostVersion = host.opsets.get(domain) ?? version;
    if (hostVersion !== version)
      return new Miss(`the models are written in ${domain || "ai.onnx"} ${hostVersion} and ${version}`);
  }
  for (const [domain, version] of guest.opsets) host.header.opsets.set(domain, version);
  const inlinedValues = inlineGraph(guest.graph, host.graph, { replacements: inputs, prefix });
  const inner = inlinedValues.nodes.flatMap(subgraphs).flatMap((graph) => [...allValues(graph)]);
  for (const copy of [...inlinedValues.names.keys(), ...inner]) copy.role = undefined;
  const outputs = guest.graph.outputs.flatMap(({ name }, index) => {
    const copy = inlinedValues.outputs[index];
    return copy === undefined ? [] : [[name, copy] as const];
  });
  return {
    outputs: new Map(outputs),
    values: new Map(Array.from(inlinedValues.names, ([copy, name]) => [name, copy])),
  };
}
