/**
 * Finds out whether a value is a distribution over classes: probabilities or log-probabilities that were only moved, cast or quantized since.
 * Softmax of probabilities is a different, nearly uniform distribution, while softmax of log-probabilities restores them.
 *      z = Gemm(…);  p = Softmax(z);  output = Identity(p)        probabilities
 */
import type { Value } from "../graph/graph.ts";
import type { Distribution } from "../ops/define.ts";
import type { Inference } from "./infer.ts";
import { makersOf } from "./makers.ts";

/** Returns the form in which a value is a distribution; undefined if the graph does not show one. */
export function distributionOf(value: Value, inference: Inference): Distribution["form"] | undefined {
  for (const { bound, output } of makersOf(value, inference)) {
    const distribution = bound.distribution();
    if (distribution !== undefined) return overClasses(distribution, output, value, inference);
  }
  return undefined;
}

/** Returns the form, unless the normalized axis is not the class axis: the last one, or the channels of images. */
function overClasses(
  { form, axes }: Distribution,
  normalized: Value,
  value: Value,
  inference: Inference,
): Distribution["form"] | undefined {
  const normalizedDims = inference.operand(normalized)?.dims;
  const dims = inference.operand(value)?.dims;
  if (normalizedDims === undefined || axes === undefined || dims === undefined) return form;
  const sizes = axes.map((axis) => normalizedDims[axis]);
  if (!sizes.every((size) => typeof size === "number")) return form;
  const summed = sizes.reduce((product, size) => product * size, 1);
  const classes = [dims.at(-1), dims.length > 2 ? dims[1] : undefined];
  return classes.some((size) => size === summed || (size !== undefined && typeof size !== "number")) ? form : undefined;
}
