/** What a technique replaced goes: nodes without a use, and the weights behind them. */
import type { Graph, Value } from "../graph/graph.ts";
import { removeUnused } from "./remove-unused.ts";

/**
 * Removes what a technique left without a use: nodes, then the tensors that were used before. Tensors go even where an old file lists
 * them among the inputs of the graph; inputs that nobody used before stay.
 */
export function removeReplaced(graph: Graph, usedBefore: ReadonlySet<Value>): void {
  removeUnused(graph);
  for (const value of usedBefore) {
    if (graph.ownValue(value.name) !== value || value.uses.size > 0 || graph.isOutput(value)) continue;
    graph.removeValue(value);
  }
}

/** The stored tensors that something uses. */
export function usedTensors(graph: Graph): ReadonlySet<Value> {
  return new Set([...graph.values()].filter((value) => value.tensor !== undefined && value.uses.size > 0));
}
