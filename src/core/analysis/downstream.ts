/** Finds dependence on the data of parameters or inputs. Dependence on their dimensions alone does not count. */
import { type Graph, usedValues, type Value } from "../graph/graph.ts";
import type { Inference } from "./infer.ts";

/**
 * Returns all values that change with the data of `sources`, including `sources`. Elements that inference knows
 * although an operand is unknown follow from dimensions alone, so they do not change.
 */
export function downstream(graph: Graph, sources: readonly Value[], inference: Inference): ReadonlySet<Value> {
  const reached = new Set<Value>(sources);
  for (const node of graph.nodes()) {
    const changing = usedValues(node).filter((value) => reached.has(value));
    if (changing.length === 0) continue;
    const open = changing.every((value) => inference.operand(value)?.elements === undefined);
    for (const output of node.outputs) {
      if (output === undefined || (open && inference.operand(output)?.elements !== undefined)) continue;
      reached.add(output);
    }
  }
  return reached;
}
