/** Removes nodes and stored tensors that no output depends on. */
import { allGraphs, allValues, type Graph, type Value } from "./graph.ts";
import type { Model } from "./model.ts";

export function isUsed(value: Value): boolean {
  return value.uses.size > 0 || value.graph.isOutput(value);
}

/** Removes unused nodes and stored tensors of a graph. Returns the number of removed nodes. */
export function removeUnused(graph: Graph, keptValues: ReadonlySet<Value> = new Set()): number {
  const outputs = new Set([...graph.outputs, ...keptValues]);
  let removedCount = 0;
  for (const node of graph.nodesBackwards()) {
    if (node.outputs.some((value) => value !== undefined && (value.uses.size > 0 || outputs.has(value)))) continue;
    graph.removeNode(node);
    removedCount++;
  }
  const inputs = new Set(graph.inputs);
  for (const value of [...graph.values()]) {
    if (value.tensor === undefined || value.uses.size > 0 || outputs.has(value) || inputs.has(value)) continue;
    graph.removeValue(value);
  }
  return removedCount;
}

/** Removes unused nodes, innermost graphs first: removing a node in a subgraph can leave outer values unused. */
export function removeUnusedEverywhere(model: Model): void {
  for (const graph of [...allGraphs(model.graph)].reverse()) removeUnused(graph);
}

/** Removes unused nodes, and values that were used before and no longer are, even if a file lists them as inputs. */
export function removeReplaced(model: Model, usedBefore: ReadonlySet<Value>): void {
  removeUnusedEverywhere(model);
  for (const value of usedBefore) {
    const { graph } = value;
    if (graph.ownValue(value.name) === value && !isUsed(value)) graph.removeValue(value);
  }
}

export function usedTensors(model: Model): ReadonlySet<Value> {
  return new Set([...allValues(model.graph)].filter((value) => value.tensor !== undefined && value.uses.size > 0));
}
