/** A graph's nodes brought into another: a branch that is always taken, the body of a function, a teacher beside its student. */

import { Miss } from "../errors.ts";
import { type Copies, copyNode, copyOf, copyValue } from "./clone.ts";
import type { Graph, Node, Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { canTakeName } from "./replace.ts";

export interface InlineOptions {
  /** The node of `to` before which they come; at the end if absent. */
  readonly before?: Node | undefined;
  /** What stands for values of `from`, as for its inputs; undefined for one that is left out. */
  readonly given?: ReadonlyMap<Value, Value | undefined>;
  readonly prefix?: string;
}

/**
 * Copies the nodes and stored tensors of `from` into `to`, and returns the copies of its outputs. Values from outside of `from` are used as
 * they are. Names stay where they are free, which they are not as long as `from` itself is still in the model: `restoreNames` brings them
 * back once it is gone.
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
    // ONNX Runtime refuses two nodes of one name.
    const name = node.name === "" ? "" : to.freshNodeName(`${prefix}${node.name}`);
    // Those of one node are named before any of them is there.
    const made = new Set<string>();
    const output = (value: Value): string => {
      const stem = `${prefix}${value.name}`;
      let found = to.freshName(stem);
      for (let number = 1; made.has(found); number++) found = to.freshName(`${stem}_${number}`);
      made.add(found);
      return found;
    };
    nodes.push(copyNode(node, to, copies, { node: name, output }, { before }));
  }
  const names = new Map<Value, string>();
  for (const [value, copy] of copies)
    if (copy !== undefined && value.graph === from && !given.has(value)) names.set(copy, value.name);
  return { outputs: from.outputs.map((value) => copyOf(value, copies)), nodes, names };
}

export interface Inlined {
  /** What the outputs became, in their order; undefined for an input left out that was handed through. */
  readonly outputs: readonly (Value | undefined)[];
  /** The nodes of the graph that was copied. */
  readonly nodes: readonly Node[];
  /** New values and the names that they had before. */
  readonly names: ReadonlyMap<Value, string>;
}

/** Gives copies their former names, where nothing else in the model has them. */
export function restoreNames(graph: Graph, { names }: Pick<Inlined, "names">): void {
  for (const [value, name] of names) {
    if (value.graph !== graph || graph.ownValue(value.name) !== value || !canTakeName(value, graph)) continue;
    if (value.name !== name && graph.freshName(name) === name) graph.rename(value, name);
  }
}

export interface Merged {
  /** The guest's outputs by their own names, now values of the host. */
  readonly outputs: ReadonlyMap<string, Value>;
  /** All values of the guest's graph by their own names, but its inputs. */
  readonly values: ReadonlyMap<string, Value>;
}

/**
 * Copies the nodes and tensors of `guest` into the graph of `host`, with its inputs as `given`; everything else gets a name that starts with
 * `prefix`. Tensors are shared, roles are left behind: the guest is not trained. A Miss for operator sets that differ.
 */
export function mergeGraph(host: Model, guest: Model, prefix: string, given: ReadonlyMap<Value, Value>): Merged | Miss {
  for (const [domain, version] of guest.opsets) {
    const own = host.opsets.get(domain);
    if (own === undefined) host.header.opsets.set(domain, version);
    else if (own !== version) return new Miss(`the models are written in ${domain || "ai.onnx"} ${own} and ${version}`);
  }
  const inlined = inlineGraph(guest.graph, host.graph, { given, prefix });
  for (const copy of inlined.names.keys()) copy.role = undefined;
  const outputs = guest.graph.outputs.flatMap(({ name }, index) => {
    const copy = inlined.outputs[index];
    return copy === undefined ? [] : [[name, copy] as const];
  });
  return { outputs: new Map(outputs), values: new Map(Array.from(inlined.names, ([copy, name]) => [name, copy])) };
}
