/** Which stored tensors are trained. */

import type { Inference } from "../analysis/infer.ts";
import { storedRoot } from "../analysis/layers.ts";
import { Miss } from "../errors.ts";
import { allGraphs, type Graph, type Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";

/**
 * The parameters of a model: values with that role, and the floating-point tensors that operators consume as parameters, as their entries
 * say, found through masks, in graphs inside nodes too. A value with any other role (mask, buffer, state) is none.
 */
export function parametersOf(model: Model, inference: Inference): ReadonlySet<Value> {
  const found = new Set<Value>();
  for (const value of model.graph.values())
    if (value.role?.kind === "parameter" && value.tensor !== undefined) found.add(value);
  for (const node of nodesIn(model.graph)) {
    const bound = inference.at(node);
    if (bound instanceof Miss) continue;
    for (const input of bound.parameters()) {
      const value = node.inputs[input];
      const root = value === undefined ? undefined : storedRoot(value);
      if (root === undefined || (root.role !== undefined && root.role.kind !== "parameter")) continue;
      if (root.tensor !== undefined && isFloat(root.tensor.type)) found.add(root);
    }
  }
  return found;
}

function* nodesIn(graph: Graph): Generator<Node> {
  for (const each of allGraphs(graph)) yield* each.nodes();
}
