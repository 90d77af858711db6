/**
 * Finds the values that clean-ups must not change. A model that has roles is in the middle of something: masked, being trained, tied. Then every value
 * with a role is protected, and so is every tensor that an operator takes as a parameter: two zero biases are equal by chance, and stay two.
 * Once `finalize` has removed the roles, nothing is protected.
 */
import type { Inference } from "../analysis/infer.ts";
import { parameterRoots } from "../analysis/parameters.ts";
import { allValues, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";

/** Whether a value is protected, or made from stored tensors of which one is. */
export function protectedValues(model: Model, inference: Inference): (value: Value) => boolean {
  const kept = new Set<Value>();
  for (const value of allValues(model.graph)) if (value.role !== undefined) kept.add(value);
  if (kept.size === 0) return () => false;
  for (const root of parameterRoots(model, inference)) kept.add(root);
  const known = new Map<Value, boolean>();
  const isProtected = (value: Value): boolean => {
    const before = known.get(value);
    if (before !== undefined) return before;
    const made = inference.operand(value)?.stored === true ? (value.producer?.inputs ?? []) : [];
    const found = kept.has(value) || made.some((input) => input !== undefined && isProtected(input));
    known.set(value, found);
    return found;
  };
  return isProtected;
}
