import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { DataType } from "../../tensor/types.ts";
import type { CodedInput, Site } from "../define.ts";
import { scalar } from "./rules.ts";

/** Squeezes a vector of one element, so that it is a scale or zero point for the whole tensor. */
export function toScalar(emit: Emit, value: Value | undefined): Value | undefined {
  const dims = value?.type?.dims;
  return dims?.length === 1 && dims[0] === 1 ? emit.Squeeze([value, [0]]) : value;
}

/** Writes (code - zero) · scale; a vector of scales belongs to `axis`. */
export function decode(
  emit: Emit,
  codes: Value | undefined,
  scale: Value | undefined,
  zero: Value | undefined,
  axis = 1,
): Value {
  const axisAttribute = (scale?.type?.dims?.length ?? 0) === 0 ? {} : { axis };
  return emit.DequantizeLinear([codes, toScalar(emit, scale), toScalar(emit, zero)], axisAttribute);
}

/** Writes round(x / scale) + zero, in the type of `zero`, or uint8. */
export function encode(emit: Emit, x: Value, scale: Value | undefined, zero: Value | undefined): Value {
  return emit.QuantizeLinear([x, toScalar(emit, scale), toScalar(emit, zero) ?? scalar(emit, "uint8", 0)]);
}

/** Returns the quantized output type: that of the zero point, otherwise that of an input. */
export function codeType(site: Site, zero: number, like = 0): DataType {
  return site.inputs[zero]?.type ?? site.inputs[like]?.type ?? "uint8";
}

/** Two operands, each followed by scale and zero point. */
export const twoCoded: readonly CodedInput[] = [0, 3].map((input) => ({
  input,
  scale: input + 1,
  zeroPoint: input + 2,
}));
