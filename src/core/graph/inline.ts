/** Copies a graph into another one: a branch with a constant condition, a function body, or a teacher next to a student. */

import { Miss } from "../errors.ts";
import { type Copies, copyNode, copyOf, copyValue } from "./copy.ts";
import { allValues, type Graph, type Node, subgraphs, type Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { canTakeName } from "./replace.ts";

export interface InlineOptions {
  readonly before?: Node | undefined;
  /** Values of the target graph by values of `from`; undefined omits the value. */
  readonly replacements?: ReadonlyMap<Value, Value | undefined>;
  readonly prefix?: string;
}

/** Copies the nodes and stored tensors of `from` into `to`. Outer values are read directly. */
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
    // The node's other outputs do not exist yet.
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
  /** The copied outputs, in order; undefined for an output that is an omitted input. */
  readonly outputs: readonly (Value | undefined)[];
  readonly nodes: readonly Node[];
  readonly names: ReadonlyMap<Value, string>;
}

/** Gives copied values their original names where these are free. */
export function restoreNames(graph: Graph, { names }: Pick<InlinedGraph, "names">): void {
  for (const [value, name] of names) {
    if (value.graph !== graph || graph.ownValue(value.name) !== value || !canTakeName(value, graph)) continue;
    if (value.name !== name && graph.freshName(name) === name) graph.rename(value, name);
  }
}

export interface MergedGraph {
  /** The guest's outputs in the host, by original name. */
  readonly outputs: ReadonlyMap<string, Value>;
  /** The copied values of the guest's main graph, by original name. */
  readonly values: ReadonlyMap<string, Value>;
}

/**
 * Copies the main graph of `guest` into `host`, with prefixed names and without roles. Returns a Miss if opset versions differ.
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
