/** Weights as stored codes, and numbers of them again: W ≈ DequantizeLinear(codes, scale, zero point), of 8 bits, by slices or as a whole. */
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { QuantizedTensor } from "../../math/index.ts";
import { type DataType, typeCodes } from "../../tensor/types.ts";
import type { QuantizedWeight } from "../weight.ts";

/** Stores codes, scale and zero point under the names that ONNX Runtime's own tools use and look for. */
export function storeQuantized(emit: Emit, name: string, tensor: QuantizedTensor | QuantizedWeight): StoredCodes {
  return {
    codes: emit.constant(tensor.quantized, `${name}_quantized`),
    scale: emit.constant(tensor.scale, `${name}_scale`),
    zeroPoint: emit.constant(tensor.zeroPoint, `${name}_zero_point`),
  };
}

/** Stored codes, and what makes numbers of them. */
export interface StoredCodes {
  readonly codes: Value;
  readonly scale: Value;
  readonly zeroPoint: Value;
}

/** The stored integers as numbers again, of the type that the layer reads. */
export function dequantized(
  emit: Emit,
  name: string,
  tensor: QuantizedTensor | QuantizedWeight,
  type: DataType = "float32",
): Value {
  return numbersOf(emit, name, storeQuantized(emit, name, tensor), tensor.axis, type);
}

/** Numbers of codes with one scale, or one for each index of an axis. */
export function numbersOf(
  emit: Emit,
  name: string,
  { codes, scale, zeroPoint }: StoredCodes,
  axis: number | undefined,
  type: DataType = "float32",
): Value {
  const along = axis === undefined ? {} : { axis };
  const numbers = emit.named(`${name}_DequantizeLinear_Output`).DequantizeLinear([codes, scale, zeroPoint], along);
  return type === "float32" ? numbers : emit.named(`${name}_${type}`).Cast([numbers], { to: typeCodes[type] });
}
