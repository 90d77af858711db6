/**
 * Stored tensors that hold one number throughout. As the weight of a layer with one output (a group), such a tensor adds up or averages what it
 * multiplies, as the sum of squares of a normalization or a blur do: arithmetic of the graph, which nobody trained. Zeros are what pruning
 * leaves, and vectors of ones or zeros are scales and biases that have learnt nothing yet: these are learned weights as any other.
 */
import type { Node, Value } from "../graph/graph.ts";
import type { WeightRole } from "../ops/index.ts";
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import type { Tensor } from "../tensor/types.ts";

/** The number that every element of a small tensor of floats is; undefined where they differ, or are not at hand. */
export function uniformElement(tensor: Tensor | undefined): number | undefined {
  const small = tensor?.small;
  if (small === undefined || !isFloat(small.type)) return undefined;
  const numbers = toFloat64(small);
  const [first] = numbers;
  return first !== undefined && numbers.every((entry) => entry === first) ? first : undefined;
}

/**
 * Whether the stored weight of a layer, by its numbers, is a constant that nobody trained. What has a role is believed.
 * @example
 * const learned = layers(model, infer(model)).filter((layer) => !isConstantWeight(layer));
 */
export function isConstantWeight(layer: {
  readonly node: Node;
  readonly role: WeightRole;
  readonly weight: Value;
}): boolean {
  const { node, role, weight } = layer;
  const dims = fixedDims(node.inputs[role.input]?.type?.dims) ?? [];
  const outputs = (dims[role.out] ?? 0) / (role.out === 0 ? role.groups : 1);
  // One number for each output is a scale.
  const isScale = elementCount(dims) === dims[role.out];
  if (weight.role !== undefined || outputs !== 1 || isScale) return false;
  return (uniformElement(weight.tensor) ?? 0) !== 0;
}
