/** Copies a graph into another: a known branch, a function body, a teacher next to its student. */

import { Miss } from "../errors.ts";
import { type Copies, copyNode, copyOf, copyValue } from "./clone.ts";
import type { Graph, Node, Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { canTakeName } from "./replace.ts";

export interface InlineOptions {
  readonly before?: Node | undefined;
  /** Replacements of values of `from`, such as its inputs; undefined for an omitted one. */
  readonly given?: ReadonlyMap<Value, Value | undefined>;
  readonly prefix?: string;
}

/**
 * Copies nodes and stored tensors of `from` into `to`, and returns the copied outputs. Outer values are used directly. Names stay if they are free,
 * which requires that `from` was removed: call `restoreNames` afterward.
 */
export function inlineGraph(
  from: Graph,
  to: Graph,
  { before, given = new Map(), prefix = "" }: InlineOptions,
): Inlined {
  const copies: Copies = new Map(given);
  for (const value of from.values()) {
    if (value.producer === undefined && !given.has(value))
      copyValue(value, to.addValue(to.freshName(`${prefix}${value.name}`)), copies);
  }
  const nodes: Node[] = [];
  for (const node of from.nodes()) {
    // ONNX Runtime rejects two nodes with the same name.
    const name = node.name === "" ? "" : to.freshNodeName(`${prefix}${node.name}`);
    // The outputs of a node are named before any of them exists.
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
    if (copy !== undefined && value.graph === from && !given.has(value)) names.set(copy, value.name);
  return { outputs: from.outputs.map((value) => copyOf(value, copies)), nodes, names };
}

export interface Inlined {
  /** The copied outputs, in order; undefined for an omitted input that was passed through. */
  readonly outputs: readonly (Value | undefined)[];
  readonly nodes: readonly Node[];
  readonly names: ReadonlyMap<Value, string>;
}

/** Restores the former names of copies, if nothing else in the model has them. */
export function restoreNames(graph: Graph, { names }: Pick<Inlined, "names">): void {
  for (const [value, name] of names) {
    if (value.graph !== graph || graph.ownValue(value.name) !== value || !canTakeName(value, graph)) continue;
    if (value.name !== name && graph.freshName(name) === name) graph.rename(value, name);
  }
}

export interface Merged {
  /** The guest's outputs by their original names, now values of the host. */
  readonly outputs: ReadonlyMap<string, Value>;
  /** The guest's values except inputs, by their original names. */
  readonly values: ReadonlyMap<string, Value>;
}

/**
 * Copies `guest` into `host`, with the given inputs and prefixed names, without roles: the guest is not trained. Returns a Miss if opsets differ.
 */
export function mergeGraph(
  host: Model,
  guest: Model,
  prefix: string,
  inputs: ReadonlyMap<Value, Value>,
): Merged | Miss {
  for (const [domain, version] of guest.opsets) {
    const hostVersion = host.opsets.get(domain);
    if (hostVersion === undefined) host.header.opsets.set(domain, version);
    else if (hostVersion !== version)
      return new Miss(`the models are written in ${domain || "ai.onnx"} ${hostVersion} and ${version}`);
  }
  const inlined = inlineGraph(guest.graph, host.graph, { given: inputs, prefix });
  for (const copy of inlined.names.keys()) copy.role = undefined;
  const outputs = guest.graph.outputs.flatMap(({ name }, index) => {
    const copy = inlined.outputs[index];
    return copy === undefined ? [] : [[name, copy] as const];
  });
  return { outputs: new Map(outputs), values: new Map(Array.from(inlined.names, ([copy, name]) => [name, copy])) };
}
