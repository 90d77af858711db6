/** Removing what nothing uses: nodes whose outputs nobody reads, then stored tensors. Inputs stay: they are the model's interface. */
import type { Graph } from "../graph/graph.ts";

/** Removes unused nodes and stored tensors of a graph; returns how many nodes went. Costs one visit per node and value. */
export function removeUnused(graph: Graph): number {
  const outputs = new Set(graph.outputs);
  let removed = 0;
  for (const node of graph.nodesBackwards()) {
    if (node.outputs.some((value) => value !== undefined && (value.uses.size > 0 || outputs.has(value)))) continue;
    graph.removeNode(node);
    removed++;
  }
  const inputs = new Set(graph.inputs);
  for (const value of [...graph.values()]) {
    if (value.tensor === undefined || value.uses.size > 0 || outputs.has(value) || inputs.has(value)) continue;
    graph.removeValue(value);
  }
  return removed;
}
