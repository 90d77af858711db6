/** Finds the model function that a node calls, and copies its body for the call. */
import { getOrAdd } from "../tensor/get-or-add.ts";
import { copyGraph } from "./copy.ts";
import { allNodes, type Graph, type Node } from "./graph.ts";
import type { Attribute } from "./graph-elements.ts";
import type { Model } from "./model.ts";

export interface LocalFunction {
  readonly domain: string;
  readonly name: string;
  /** Distinguishes functions with the same name; usually "". */
  readonly overload: string;
  readonly opsets: ReadonlyMap<string, number>;
  /** Default values by attribute; undefined without one. */
  readonly attributes: ReadonlyMap<string, Attribute | undefined>;
  /** The attributes of body nodes whose values come from the call, mapped to the names of the call's attributes. */
  readonly references: ReadonlyMap<Node, ReadonlyMap<string, string>>;
  /** The body. Copies of the model share it. */
  readonly graph: Graph;
}

export function functionOf({ functions }: Model, node: Node): LocalFunction | undefined {
  return functions.length === 0
    ? undefined
    : indexOf(functions).byName.get(functionKey(node.domain, node.op, node.overload));
}

/** Runtimes expand all calls when they load a model. */
const maxExpandedNodes = 250_000;

/** Returns the number of nodes of a call with nested calls expanded; infinity for a cycle. */
function countExpandedNodes({ functions }: Model, callee: LocalFunction): number {
  return indexOf(functions).expandedNodes.get(callee) ?? Number.POSITIVE_INFINITY;
}

export function whyNotExpanded(model: Model): string | undefined {
  if (model.functions.length === 0) return undefined;
  let nodes = 0;
  for (const node of allNodes(model.graph)) {
    const callee = functionOf(model, node);
    if (callee !== undefined) nodes += countExpandedNodes(model, callee);
  }
  return nodes > maxExpandedNodes ? `its functions expand ${excessText(nodes)}` : undefined;
}

function excessText(nodes: number): string {
  if (nodes === Number.POSITIVE_INFINITY) return "without end: a function calls itself, directly or through others";
  const text = nodes < 1e9 ? nodes.toLocaleString("en") : nodes.toExponential(1).replace("+", "");
  return `to ${text} nodes, at most ${maxExpandedNodes.toLocaleString("en")} are possible`;
}

interface FunctionIndex {
  readonly byName: ReadonlyMap<string, LocalFunction>;
  readonly expandedNodes: ReadonlyMap<LocalFunction, number>;
}

const indexes = new WeakMap<Model["functions"], FunctionIndex>();

function indexOf(functions: Model["functions"]): FunctionIndex {
  return getOrAdd(indexes, functions, () => {
    // If several functions share a name, calls refer to the first.
    const byName = new Map(
      functions.toReversed().map((local) => [functionKey(local.domain, local.name, local.overload), local]),
    );
    return { byName, expandedNodes: countAllExpandedNodes(functions, byName) };
  });
}

const functionKey = (...parts: readonly [domain: string, name: string, overload: string]): string => parts.join("\0");

function countAllExpandedNodes(
  functions: Model["functions"],
  functionsByKey: ReadonlyMap<string, LocalFunction>,
): ReadonlyMap<LocalFunction, number> {
  const nodes = new Map<LocalFunction, number>();
  /** Calls in each body whose expanded sizes are not known yet. */
  const openCallsOf = new Map<LocalFunction, number>();
  const callers = new Map(functions.map((local) => [local, [] as LocalFunction[]]));
  for (const definition of functions) {
    let [nodeCount, calls] = [0, 0];
    for (const { domain, op, overload } of allNodes(definition.graph)) {
      const callee = functionsByKey.get(functionKey(domain, op, overload));
      if (callee === undefined) nodeCount++;
      else calls++;
      if (callee !== undefined) callers.get(callee)?.push(definition);
    }
    nodes.set(definition, nodeCount);
    openCallsOf.set(definition, calls);
  }
  const countedFunctions = functions.filter((local) => openCallsOf.get(local) === 0);
  for (const definition of countedFunctions) {
    for (const caller of callers.get(definition) ?? []) {
      nodes.set(caller, (nodes.get(caller) ?? 0) + (nodes.get(definition) ?? 0));
      const openCalls = (openCallsOf.get(caller) ?? 0) - 1;
      openCallsOf.set(caller, openCalls);
      if (openCalls === 0) countedFunctions.push(caller);
    }
  }
  return new Map(countedFunctions.map((local) => [local, nodes.get(local) ?? 0]));
}

/** Returns a function's body with the attributes of a call, except graphs, which could read outer values. */
export function instantiate(callee: LocalFunction, call: Node): Graph {
  const copy = copyGraph(callee.graph);
  copy.operators = call.graph.operators;
  const nodes = allNodes(copy);
  for (const original of allNodes(callee.graph)) {
    const { value: node } = nodes.next();
    if (node === undefined) break;
    for (const [name, from] of callee.references.get(original) ?? []) {
      const attribute = call.attributes.get(from) ?? callee.attributes.get(from);
      node.graph.setAttribute(
        node,
        name,
        attribute?.kind === "graph" || attribute?.kind === "graphs" ? undefined : attribute,
      );
    }
  }
  return copy;
}

export function whyNotInlined(model: Model, callee: LocalFunction): string | undefined {
  const { opsets, graph } = callee;
  const nodes = countExpandedNodes(model, callee);
  if (nodes > maxExpandedNodes) return `the function expands ${excessText(nodes)}`;
  const usedDomains = getOrAdd(domains, graph, () => new Set(Array.from(allNodes(graph), ({ domain }) => domain)));
  for (const [domain, version] of opsets) {
    const modelVersion = model.opsets.get(domain);
    if (modelVersion !== undefined && modelVersion !== version && usedDomains.has(domain))
      return `the function is written in ${domain || "ai.onnx"} ${version}, the model in ${modelVersion}`;
  }
  return undefined;
}

const domains = new WeakMap<Graph, ReadonlySet<string>>();
