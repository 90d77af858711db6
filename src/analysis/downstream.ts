/** What depends on what: on parameters, on inputs. Dimensions alone are no dependence. */
import { type Graph, usedValues, type Value } from "../graph/graph.ts";
import type { Inference } from "./infer.ts";

/**
 * Everything that changes when one of `sources` does. Contents that are known although those of the operands are not were made of dimensions
 * alone: they do not change.
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
