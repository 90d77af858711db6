/** Makes names unique, because ONNX Runtime rejects duplicates although files contain them. */

import { allGraphs, type Graph, type Node, type Value } from "./graph.ts";
import { usedValues } from "./graph-elements.ts";
import type { Model } from "./model.ts";

/** Gives nodes distinct names, names unnamed graphs, and renames values of subgraphs that hide outer values. */
export function makeNamesDistinct(model: Model): void {
  if (hasDistinctNames(model)) return;
  const graphs = [...allGraphs(model.graph)];
  const allNames = new Set(graphs.flatMap((graph) => [...graph.nodes()].map(({ name }) => name)));
  const usedNames = new Set<string>();
  for (const graph of graphs) {
    if (graph.name === "") graph.name = "graph";
    for (const value of shadowingValues(graph)) graph.rename(value, graph.freshName(value.name));
    for (const node of graph.nodes()) {
      if (node.name === "") continue;
      if (usedNames.has(node.name)) {
        let number = 1;
        while (allNames.has(`${node.name}_${number}`)) number++;
        node.name = `${node.name}_${number}`;
        allNames.add(node.name);
      }
      usedNames.add(node.name);
    }
  }
}

export function hasDistinctNames(model: Model): boolean {
  const usedNames = new Set<string>();
  for (const graph of allGraphs(model.graph)) {
    if ((graph.name === "" && graph.parent !== undefined) || shadowingValues(graph).length > 0) return false;
    for (const { name } of graph.nodes()) {
      if (usedNames.has(name)) return false;
      if (name !== "") usedNames.add(name);
    }
  }
  return true;
}

/** Returns computed values of a subgraph with the name of an outer value that can be computed first, which ONNX Runtime rejects. */
function shadowingValues(graph: Graph): readonly Value[] {
  const containing = new Set<Node>();
  for (let node = graph.parent; node !== undefined; node = node.graph.parent) containing.add(node);
  return [...(graph.parent === undefined ? [] : graph.values())].filter(({ name, producer }) => {
    const outer = producer === undefined ? undefined : graph.parent?.graph.value(name);
    return outer !== undefined && !dependsOn(outer.producer, containing);
  });
}

function dependsOn(node: Node | undefined, nodes: ReadonlySet<Node>): boolean {
  const visitedNodes = new Set([node]);
  for (const current of visitedNodes) {
    if (current === undefined) continue;
    if (nodes.has(current)) return true;
    for (const { producer } of usedValues(current)) visitedNodes.add(producer);
  }
  return false;
}
