/**
 * Functions that a model brings along: operators with a body. A call is a node whose domain and name are those of a function.
 *
 * The body as it stands in the file has holes: attributes that take the value that the call gives ("references"). `instantiate` makes a
 * graph of it in which they are filled, for one call: what is inlined, and what is read to know what a call does.
 */

import { copyGraph } from "./clone.ts";
import type { Attribute } from "./elements.ts";
import { allNodes, type Graph, type Node } from "./graph.ts";
import type { Model } from "./model.ts";

export interface LocalFunction {
  readonly domain: string;
  readonly name: string;
  /** Tells functions of one name apart; mostly "". */
  readonly overload: string;
  readonly opsets: ReadonlyMap<string, number>;
  /** Attributes that a call may give, with their defaults. */
  readonly attributes: ReadonlyMap<string, Attribute | undefined>;
  /** Node of the body → its attribute → the attribute of the call that it takes. */
  readonly references: ReadonlyMap<Node, ReadonlyMap<string, string>>;
  /** Inputs and outputs stand for those of a call, by position. Never changed: it is shared by copies of the model. */
  readonly graph: Graph;
}

/** The function that a node calls; undefined where it is an operator. */
export function functionOf(model: Model, node: Node): LocalFunction | undefined {
  if (model.functions.length === 0) return undefined;
  return model.functions.find(
    (candidate) =>
      candidate.name === node.op && candidate.domain === node.domain && candidate.overload === node.overload,
  );
}

/**
 * The body of a function for one call: a graph of its own, with the attributes of the call in it. Graphs among them are left out: what
 * they read is outside.
 */
export function instantiate(called: LocalFunction, call: Node): Graph {
  const copy = copyGraph(called.graph);
  copy.operators = call.graph.operators;
  const nodes = allNodes(copy);
  for (const original of allNodes(called.graph)) {
    const { value: node } = nodes.next();
    if (node === undefined) break;
    for (const [name, from] of called.references.get(original) ?? []) {
      const given = call.attributes.get(from) ?? called.attributes.get(from);
      node.graph.setAttribute(node, name, given?.kind === "graph" || given?.kind === "graphs" ? undefined : given);
    }
  }
  return copy;
}

/** Why the body of a function cannot stand in place of its calls: it means other versions of operators than the model. */
export function whyNotInlined(model: Model, { opsets, graph }: LocalFunction): string | undefined {
  const used = new Set(Array.from(allNodes(graph), ({ domain }) => domain));
  for (const [domain, version] of opsets) {
    const own = model.opsets.get(domain);
    if (own !== undefined && own !== version && used.has(domain))
      return `the function is written in ${domain || "ai.onnx"} ${version}, the model in ${own}`;
  }
  return undefined;
}
