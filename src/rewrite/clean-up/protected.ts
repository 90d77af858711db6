/**
 * Finds the values that clean-ups must not change in a model with roles (masked, in training): values with a role, and operators' parameters,
 * because two zero biases are only equal by chance. After `finalize` nothing is protected.
 */
import type { Inference } from "../../core/analysis/infer.ts";
import { parameterRoots } from "../../core/analysis/parameters.ts";
import { allValues, type Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";

/** Returns whether a value is protected, or depends on a protected stored tensor. */
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
