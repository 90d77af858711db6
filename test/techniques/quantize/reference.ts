/** Reference implementations of ONNX's operators, which tests compare with. */

import { axisLayout } from "../../../src/core/tensor/axis-layout.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import type { Dense } from "../../../src/core/tensor/types.ts";
import { type QuantizedTensor, quantizeTensor } from "../../../src/techniques/quantize/quantize-tensor.ts";
import {
  type QuantizationRange,
  type QuantizedType,
  type ScaleAndZeroPoint,
  scaleAndZeroPoint,
} from "../../../src/techniques/shared/affine-codes.ts";

/** Codes of numbers by one scale and zero point. */
export const codesOf = (
  values: readonly number[],
  { scale, zeroPoint }: ScaleAndZeroPoint,
  type: QuantizedType,
  range?: QuantizationRange,
): readonly number[] =>
  toNumbers(
    quantizeTensor(float32([values.length], values), {
      ...{ type, scale: [scale], zeroPoint: [zeroPoint] },
      ...(range === undefined ? {} : { range }),
    }).quantized,
  );

/** DequantizeLinear. */
export function dequantized({ quantized, scale, zeroPoint, axis }: QuantizedTensor): Dense<"float32"> {
  const { dims } = quantized;
  const [zeros, { count, inner }] = [
    toNumbers(zeroPoint),
    axis === undefined ? { count: 1, inner: elementCount(dims) } : axisLayout(dims, axis),
  ];
  const numbers = toNumbers(quantized).map((code, at) => {
    const slice = Math.floor(at / inner) % count;
    return (code - (zeros[slice] ?? 0)) * (scale.data[slice] ?? 0);
  });
  return float32(dims, numbers);
}

/** DynamicQuantizeLinear, and back. */
export function roundedDynamically(values: Float32Array): readonly number[] {
  const { scale, zeroPoint } = scaleAndZeroPoint(Math.min(...values), Math.max(...values), { type: "uint8" });
  return codesOf([...values], { scale, zeroPoint }, "uint8").map((code) => (code - zeroPoint) * scale);
}
