/** Which stored tensors are trained: what operators take as parameters, as their entries say. */
import { Miss } from "../errors.ts";
import { allGraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";
import type { Inference } from "./infer.ts";
import { storedRoot } from "./stored-root.ts";

/**
 * The parameters of a model: values with that role, and the floating-point tensors that operators consume as parameters. A value with any
 * other role (mask, buffer, state) is none.
 */
export function parametersOf(model: Model, inference: Inference): ReadonlySet<Value> {
  const found = new Set<Value>();
  for (const value of model.graph.values())
    if (value.role?.kind === "parameter" && value.tensor !== undefined) found.add(value);
  for (const root of parameterRoots(model, inference)) {
    if (root.role !== undefined && root.role.kind !== "parameter") continue;
    if (root.tensor !== undefined && isFloat(root.tensor.type)) found.add(root);
  }
  return found;
}

/** The stored tensors behind what operators consume as parameters, whatever their type and role, in graphs inside nodes too. */
export function* parameterRoots(model: Model, inference: Inference): Generator<Value, void, undefined> {
  for (const graph of allGraphs(model.graph)) {
    for (const node of graph.nodes()) {
      const bound = inference.at(node);
      if (bound instanceof Miss) continue;
      for (const input of bound.parameters()) {
        const value = node.inputs[input];
        const root = value === undefined ? undefined : storedRoot(value);
        if (root !== undefined) yield root;
      }
    }
  }
}
