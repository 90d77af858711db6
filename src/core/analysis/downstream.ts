/** Finds the values that depend on the elements of given values. A value that depends only on their dimensions is not included. */
import { type Graph, usedValues, type Value } from "#graph";
import type { Inference } from "./infer.ts";

/**
 * Returns all values that depend on the elements of `sources`, including `sources`. If inference knows the elements of an output but not those of the
 * inputs, the output depends only on dimensions and is left out.
 */
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
