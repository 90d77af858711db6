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
export function functionOf({ functions }: Model, node: Node): LocalFunction | undefined {
  return functions.length === 0
    ? undefined
    : inventoryOf(functions).named.get(nameOf(node.domain, node.op, node.overload));
}

/** The most nodes that calls of functions are expanded to, which is what a runtime does before it runs them. */
const mostExpanded = 250_000;

/**
 * How many nodes a call of a function stands for, those of calls inside it included; infinite where functions call each other in a circle.
 * A few functions that each call the next twice stand for more nodes than any machine holds.
 */
function expandedNodes({ functions }: Model, called: LocalFunction): number {
  return inventoryOf(functions).expanded.get(called) ?? Number.POSITIVE_INFINITY;
}

/** Why the calls in a model, and those inside them, cannot be expanded: they stand for too many nodes. */
export function whyNotExpanded(model: Model): string | undefined {
  if (model.functions.length === 0) return undefined;
  let nodes = 0;
  for (const node of allNodes(model.graph)) {
    const called = functionOf(model, node);
    if (called !== undefined) nodes += expandedNodes(model, called);
  }
  return nodes > mostExpanded ? `its functions expand ${excess(nodes)}` : undefined;
}

function excess(nodes: number): string {
  if (nodes === Number.POSITIVE_INFINITY) return "without end: a function calls itself, directly or through others";
  const text = nodes < 1e9 ? nodes.toLocaleString("en") : nodes.toExponential(1).replace("+", "");
  return `to ${text} nodes, at most ${mostExpanded.toLocaleString("en")} are possible`;
}

interface Inventory {
  readonly named: ReadonlyMap<string, LocalFunction>;
  readonly expanded: ReadonlyMap<LocalFunction, number>;
}

const inventories = new WeakMap<Model["functions"], Inventory>();

function inventoryOf(functions: Model["functions"]): Inventory {
  const known = inventories.get(functions);
  if (known !== undefined) return known;
  // The first of several of one name counts.
  const named = new Map(functions.toReversed().map((one) => [nameOf(one.domain, one.name, one.overload), one]));
  const made = { named, expanded: expansions(functions, named) };
  inventories.set(functions, made);
  return made;
}

const nameOf = (...parts: readonly [domain: string, name: string, overload: string]): string => parts.join("\0");

/** Nodes of each function once all calls inside are expanded: first of those that call none, then of those that call these. */
function expansions(
  functions: Model["functions"],
  named: ReadonlyMap<string, LocalFunction>,
): ReadonlyMap<LocalFunction, number> {
  const nodes = new Map<LocalFunction, number>();
  /** Calls inside a function of which it is not known yet what they expand to. */
  const open = new Map<LocalFunction, number>();
  const callers = new Map(functions.map((one) => [one, [] as LocalFunction[]]));
  for (const one of functions) {
    let [own, calls] = [0, 0];
    for (const { domain, op, overload } of allNodes(one.graph)) {
      const called = named.get(nameOf(domain, op, overload));
      if (called === undefined) own++;
      else calls++;
      if (called !== undefined) callers.get(called)?.push(one);
    }
    nodes.set(one, own);
    open.set(one, calls);
  }
  const ready = functions.filter((one) => open.get(one) === 0);
  for (const one of ready) {
    for (const caller of callers.get(one) ?? []) {
      nodes.set(caller, (nodes.get(caller) ?? 0) + (nodes.get(one) ?? 0));
      const left = (open.get(caller) ?? 0) - 1;
      open.set(caller, left);
      if (left === 0) ready.push(caller);
    }
  }
  return new Map(ready.map((one) => [one, nodes.get(one) ?? 0]));
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

/** Why the body of a function cannot stand in place of its calls: it means other versions of operators than the model, or too many nodes. */
export function whyNotInlined(model: Model, called: LocalFunction): string | undefined {
  const { opsets, graph } = called;
  const nodes = expandedNodes(model, called);
  if (nodes > mostExpanded) return `the function expands ${excess(nodes)}`;
  const used = domainsOf(graph);
  for (const [domain, version] of opsets) {
    const own = model.opsets.get(domain);
    if (own !== undefined && own !== version && used.has(domain))
      return `the function is written in ${domain || "ai.onnx"} ${version}, the model in ${own}`;
  }
  return undefined;
}

const domains = new WeakMap<Graph, ReadonlySet<string>>();

/** The domains of the operators in the body of a function, which never changes. */
function domainsOf(body: Graph): ReadonlySet<string> {
  const known = domains.get(body);
  if (known !== undefined) return known;
  const found = new Set(Array.from(allNodes(body), ({ domain }) => domain));
  domains.set(body, found);
  return found;
}
