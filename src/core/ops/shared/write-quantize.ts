/** Writes quantization and dequantization nodes with scales and zero points. */
import type { DataType, Emit, Value } from "#graph";
import type { CodedInput, Site } from "../define.ts";
import { scalar } from "./shapes.ts";

/** QuantizeLinear reads a scalar as the scale or zero point of the whole tensor. */
export function toScalar(emit: Emit, value: Value | undefined): Value | undefined {
  const dims = value?.type?.dims;
  return dims?.length === 1 && dims[0] === 1 ? emit.Squeeze([value, [0]]) : value;
}

/** Writes (quantized - zero point) · scale. A vector of scales runs along `axis`. */
export function writeDequantize(
  emit: Emit,
  quantized: Value | undefined,
  scale: Value | undefined,
  zeroPoint: Value | undefined,
  axis = 1,
): Value {
  const axisAttribute = (scale?.type?.dims?.length ?? 0) === 0 ? {} : { axis };
  return emit.DequantizeLinear([quantized, toScalar(emit, scale), toScalar(emit, zeroPoint)], axisAttribute);
}

/** Writes round(x / scale) + zero point, in the type of the zero point. */
export function writeQuantize(emit: Emit, x: Value, scale: Value | undefined, zeroPoint: Value | undefined): Value {
  return emit.QuantizeLinear([x, toScalar(emit, scale), toScalar(emit, zeroPoint) ?? scalar(emit, "uint8", 0)]);
}

export function quantizedTypeOf(site: Site, zeroPointInput: number, fallbackInput = 0): DataType {
  return site.inputs[zeroPointInput]?.type ?? site.inputs[fallbackInput]?.type ?? "uint8";
}

/** Inputs of an operator with two quantized operands, each followed by scale and zero point. */
export const twoQuantizedInputs: readonly CodedInput[] = [0, 3].map((input) => ({
  input,
  scale: input + 1,
  zeroPoint: input + 2,
}));
