/** Makes node and subgraph names unique, because ONNX Runtime rejects duplicates although files contain them. */
import { allGraphs } from "./graph.ts";
import type { Model } from "./model.ts";

/** Gives nodes and subgraphs distinct names. Of several nodes with the same name, the first keeps the name. */
export function makeNamesDistinct(model: Model): void {
  if (hasDistinctNames(model)) return;
  const graphs = [...allGraphs(model.graph)];
  const allNames = new Set(graphs.flatMap((graph) => [...graph.nodes()].map(({ name }) => name)));
  const usedNames = new Set<string>();
  for (const graph of graphs) {
    if (graph.name === "") graph.name = "graph";
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
    if (graph.name === "" && graph.parent !== undefined) return false;
    for (const { name } of graph.nodes()) {
      if (usedNames.has(name)) return false;
      if (name !== "") usedNames.add(name);
    }
  }
  return true;
}
