/** Detects whether a value contains probabilities or log-probabilities of classes, so that callers do not apply Softmax twice. */
import type { Value } from "#graph";
import type { Distribution } from "../ops/define.ts";
import { contentProducers, saturationBounds } from "./content-producers.ts";
import type { Inference } from "./infer.ts";

export function distributionOf(value: Value, inference: Inference): Distribution["form"] | undefined {
  for (const { bound, output } of contentProducers(value, inference)) {
    const distribution = bound.distribution();
    if (distribution !== undefined) return formIfOverClasses(distribution, output, value, inference);
  }
  return undefined;
}

/** Returns the form if the normalized axes can be the class axis (the last axis, or axis 1 of images). */
function formIfOverClasses(
  { form, axes }: Distribution,
  normalizedValue: Value,
  value: Value,
  inference: Inference,
): Distribution["form"] | undefined {
  const normalizedDims = inference.operand(normalizedValue)?.dims;
  const dims = inference.operand(value)?.dims;
  if (normalizedDims === undefined || axes === undefined || dims === undefined) return form;
  const sizes = axes.map((axis) => normalizedDims[axis]);
  if (!sizes.every((size) => typeof size === "number")) return form;
  const normalizedSize = sizes.reduce((product, size) => product * size, 1);
  const classes = [dims.at(-1), dims.length > 2 ? dims[1] : undefined];
  return classes.some((size) => size === normalizedSize || (size !== undefined && typeof size !== "number"))
    ? form
    : undefined;
}

/** Returns whether an operator such as Sigmoid or Softmax limits an output to values between 0 and 1. */
export function isInUnitRange(output: Value, inference: Inference): boolean {
  return saturationBounds(output, inference)?.[0] === 0;
}
