/**
 * Whether a value is a distribution over classes already, as its graph tells: probabilities or their logarithms, made by a node whose entry says
 * that it normalizes, and since then only moved, renamed or rounded. A loss and a figure have to know, because softmax of probabilities is another
 * distribution, nearly the even one, while softmax of their logarithms gives them back.
 *
 *     z = Gemm(…);  p = Softmax(z);  output = Identity(p)        probabilities
 */
import type { Value } from "../graph/graph.ts";
import type { Distribution } from "../ops/define.ts";
import type { Inference } from "./infer.ts";
import { makersOf } from "./makers.ts";

/** The form in which a value is a distribution; undefined where the graph does not say that it is one. */
export function distributionOf(value: Value, inference: Inference): Distribution["form"] | undefined {
  for (const { bound, made } of makersOf(value, inference)) {
    const distribution = bound.distribution();
    if (distribution !== undefined) return overClasses(distribution, made, value, inference);
  }
  return undefined;
}

/** The form, unless what was summed over is plainly not what the value's classes are: its last axis, or the planes of images. */
function overClasses(
  { form, axes }: Distribution,
  normalized: Value,
  value: Value,
  inference: Inference,
): Distribution["form"] | undefined {
  const own = inference.operand(normalized)?.dims;
  const dims = inference.operand(value)?.dims;
  if (own === undefined || axes === undefined || dims === undefined) return form;
  const sizes = axes.map((axis) => own[axis]);
  if (!sizes.every((size) => typeof size === "number")) return form;
  const summed = sizes.reduce((product, size) => product * size, 1);
  const classes = [dims.at(-1), dims.length > 2 ? dims[1] : undefined];
  return classes.some((size) => size === summed || (size !== undefined && typeof size !== "number")) ? form : undefined;
}
