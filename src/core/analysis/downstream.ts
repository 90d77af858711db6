import { type Graph, usedValues, type Value } from "#graph";
import type { Inference } from "./infer.ts";

/** Returns the values that depend on the elements of `sources`, including `sources`, and not only on their dimensions. */
export function downstreamValues(graph: Graph, sources: readonly Value[], inference: Inference): ReadonlySet<Value> {
  const dependents = new Set<Value>(sources);
  for (const node of graph.nodes()) {
    const changedInputs = usedValues(node).filter((value) => dependents.has(value));
    if (changedInputs.length === 0) continue;
    const areUnknown = changedInputs.every((value) => inference.operand(value)?.elements === undefined);
    for (const output of node.outputs) {
      if (output === undefined || (areUnknown && inference.operand(output)?.elements !== undefined)) continue;
      dependents.add(output);
    }
  }
  return dependents;
}
