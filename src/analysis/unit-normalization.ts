/**
 * Normalizations that exporters write with a scale of ones and a shift of zeros, because the network's own scale and shift follow:
 *
 *     GroupNorm(x)  →  Reshape → InstanceNormalization(1, 0) → Reshape → Mul(weight) → Add(bias)
 *
 * The ones and zeros are there because the operator asks for them; nobody trains them. A normalization that has learnt nothing yet holds the
 * same numbers, but nothing scales what it makes once more.
 */
import { Miss } from "../errors.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Bound } from "../ops/index.ts";
import type { Inference } from "./infer.ts";
import { uniformElement } from "./uniform.ts";

/** Whether a node's own scale and shift are 1 and 0 throughout, and a stored scale follows, behind what only rearranges. */
export function isUnitNormalization(node: Node, bound: Bound, inference: Inference): boolean {
  const parameters = bound.parameters();
  const scales = bound.scales().filter((input) => parameters.includes(input));
  if (scales.length === 0 || !(bound.weights() instanceof Miss)) return false;
  const isUnit = parameters.every((input) => {
    const value = node.inputs[input];
    const expected = scales.includes(input) ? 1 : 0;
    return value?.role === undefined && uniformElement(value?.tensor) === expected;
  });
  return isUnit && isScaledBelow(node.outputs[0], inference);
}

function isScaledBelow(value: Value | undefined, inference: Inference): boolean {
  const [use, ...more] = value?.uses ?? [];
  const bound = use === undefined ? undefined : inference.at(use.node);
  if (use === undefined || more.length > 0 || bound === undefined || bound instanceof Miss) return false;
  const affine = bound.affine();
  if (!(affine instanceof Miss) && affine.kind === "arithmetic")
    return affine.inputs.some((input) => bound.scales().includes(input) && bound.parameters().includes(input));
  const rule = bound.quantize();
  const isMoved = !(rule instanceof Miss) && rule.kind === "transparent" && use.input === 0;
  return isMoved && isScaledBelow(use.node.outputs[0], inference);
}
