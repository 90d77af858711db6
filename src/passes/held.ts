/**
 * What clean-ups must leave as it is. A model that has roles is in the middle of something: masked, being trained, tied. Then every value
 * with a role is held, and so is every tensor that an operator takes as a parameter: two zero biases are equal by chance, and stay two.
 * Once `finalize` has removed the roles, nothing is held.
 */
import type { Inference } from "../analysis/infer.ts";
import { parameterRoots } from "../analysis/parameters.ts";
import { allGraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";

/** Tells of a value whether it is held, or made from stored tensors of which one is. */
export function heldValues(model: Model, inference: Inference): (value: Value) => boolean {
  const held = new Set<Value>();
  for (const graph of allGraphs(model.graph))
    for (const value of graph.values()) if (value.role !== undefined) held.add(value);
  if (held.size === 0) return () => false;
  for (const root of parameterRoots(model, inference)) held.add(root);
  const known = new Map<Value, boolean>();
  const isHeld = (value: Value): boolean => {
    const before = known.get(value);
    if (before !== undefined) return before;
    const made = inference.operand(value)?.stored === true ? (value.producer?.inputs ?? []) : [];
    const found = held.has(value) || made.some((input) => input !== undefined && isHeld(input));
    known.set(value, found);
    return found;
  };
  return isHeld;
}
