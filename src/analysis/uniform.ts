/**
 * Stored tensors that hold one number throughout. Such a matrix adds up or averages what it multiplies (the sum of squares of a normalization,
 * a blur): it is arithmetic of the graph, which nobody trained. Zeros are what pruning leaves, and vectors of ones or zeros are scales and
 * biases that have learnt nothing yet: these are learned weights as any other.
 */
import type { Value } from "../graph/graph.ts";
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import type { Tensor } from "../tensor/types.ts";

/** The number that every element of a small tensor of floats is; undefined where they differ, or are not at hand. */
export function uniformElement(tensor: Tensor | undefined): number | undefined {
  const small = tensor?.small;
  if (small === undefined || !isFloat(small.type)) return undefined;
  const numbers = toFloat64(small);
  const [first] = numbers;
  return first !== undefined && numbers.every((entry) => entry === first) ? first : undefined;
}

/** Whether the weight of a layer, by its numbers, is a constant that nobody trained. What has a role is believed. */
export function isConstantWeight({ role, tensor }: Value): boolean {
  if (role !== undefined || (tensor?.dims ?? []).every((size) => size === 1)) return false;
  return (uniformElement(tensor) ?? 0) !== 0;
}
