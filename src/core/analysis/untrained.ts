/**
 * Recognizes untrained constants among tensors that are usually trained:
 * - A weight with one output (per group) whose elements are all equal only sums or averages, as in a blur. Two cases count as trained: a weight of
 *   zeros, because pruning creates it, and a vector of ones or zeros, because scales and biases start with these values.
 * - A normalization with scale 1 and shift 0 is untrained if a separate scale and shift follow it: GroupNorm(x) → Reshape → InstanceNormalization(1,
 *   0) → Reshape → Mul(weight) → Add(bias).
 */

import { Miss } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Bound } from "../ops/define.ts";
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import type { Tensor } from "../tensor/types.ts";
import type { Inference } from "./infer.ts";
import type { Layer } from "./layers.ts";
import { weightShape } from "./weight.ts";

/** Returns the value of all elements of a float tensor; undefined if elements differ or the tensor is too large to be in memory. */
export function uniformElement(tensor: Tensor | undefined): number | undefined {
  const small = tensor?.small;
  if (small === undefined || !isFloat(small.type)) return undefined;
  const numbers = toFloat64(small);
  const [first] = numbers;
  return first !== undefined && numbers.every((entry) => entry === first) ? first : undefined;
}

/**
 * Returns whether a layer's stored weight is an untrained constant. A weight with a role (`parameter`, …) never is.
 * @example
 * const learned = layers(model, infer(model)).filter((layer) => !isConstantWeight(layer));
 */
export function isConstantWeight({ node, role, weight }: Pick<Layer, "node" | "role" | "weight">): boolean {
  const dims = fixedDims(node.inputs[role.input]?.type?.dims) ?? [];
  // A tensor with one value per output is a trained scale.
  const isScale = elementCount(dims) === dims[role.out];
  if (weight.role !== undefined || weightShape(role, dims).outputs !== 1 || isScale) return false;
  return (uniformElement(weight.tensor) ?? 0) !== 0;
}

/** Returns whether a normalization has scale 1 and shift 0, and a separate stored scale follows it, possibly after a Reshape. */
export function isUnitNormalization(node: Node, bound: Bound, inference: Inference): boolean {
  const parameters = bound.parameters();
  const scales = bound.scales().filter((input) => parameters.includes(input));
  if (scales.length === 0 || !(bound.weights() instanceof Miss)) return false;
  const isUnit = parameters.every((input) => {
    const value = node.inputs[input];
    const expected = scales.includes(input) ? 1 : 0;
    return value?.role === undefined && uniformElement(value?.tensor) === expected;
  });
  return isUnit && isScaledDownstream(node.outputs[0], inference);
}

function isScaledDownstream(value: Value | undefined, inference: Inference): boolean {
  const [use, ...more] = value?.uses ?? [];
  const bound = use === undefined ? undefined : inference.at(use.node);
  if (use === undefined || more.length > 0 || bound === undefined || bound instanceof Miss) return false;
  const affine = bound.affine();
  if (!(affine instanceof Miss) && affine.kind === "arithmetic")
    return affine.inputs.some((input) => bound.scales().includes(input) && bound.parameters().includes(input));
  const rule = bound.quantize();
  const isRearranged = !(rule instanceof Miss) && rule.kind === "transparent" && use.input === 0;
  return isRearranged && isScaledDownstream(use.node.outputs[0], inference);
}
