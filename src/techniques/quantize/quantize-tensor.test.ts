import { describe, expect, test } from "vitest";
import { type GoldenTensor, golden, goldenNumbers } from "../../../test/shared.ts";
import { codesOf, dequantized } from "../../../test/techniques/quantize/reference.ts";
import { toFloat32, toNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import type { QuantizedType } from "../shared/affine-codes.ts";
import { channelRanges, quantizeTensor, quantizeWeights } from "./quantize-tensor.ts";

function weights(dims: readonly number[], seed: number) {
  const stream = random(seed);
  return float32(
    dims,
    Array.from({ length: dims.reduce((count, dim) => count * dim, 1) }, () => stream.normal()),
  );
}

describe("quantizeWeights and quantizeTensor", () => {
  test.each([undefined, 0, 1, 2, -1])("quantizes on axis %s with an error of at most half a step per slice", (axis) => {
    const dense = weights([4, 3, 5], 1);
    const result = quantizeWeights({ dense, type: "int8", axis });
    const back = dequantized(result).data;
    const scales = toNumbers(result.scale);
    const inner = axis === undefined ? 60 : [15, 5, 1][axis < 0 ? axis + 3 : axis];
    for (const [index, value] of toFloat32(dense).entries()) {
      const scale = scales[Math.floor(index / (inner ?? 1)) % scales.length] ?? 0;
      expect(Math.abs(value - (back[index] ?? 0))).toBeLessThanOrEqual((scale / 2) * (1 + 1e-5));
    }
    expect(result.scale.dims).toEqual(axis === undefined ? [] : [scales.length]);
    expect(result.zeroPoint.dims).toEqual(result.scale.dims);
    expect(result.axis).toBe(axis === -1 ? 2 : axis);
  });

  test("quantizes small channels more exactly with a scale per channel", () => {
    const dense = float32([2, 2], [100, -50, 0.5, -0.25]);
    const perChannel = quantizeWeights({ dense, type: "int8", axis: 0 });
    expect([...perChannel.scale.data]).toEqual([Math.fround(100 / 127), Math.fround(0.5 / 127)]);
    expect(toNumbers(perChannel.quantized)).toEqual([127, -64, 127, -64]);
    expect(toNumbers(quantizeWeights({ dense, type: "int8" }).quantized)).toEqual([127, -64, 1, 0]);
  });

  test("packs 4-bit values and zero points", () => {
    const dense = weights([3, 5], 2);
    const result = quantizeWeights({ dense, type: "uint4", axis: 0 });
    expect([result.quantized.data.byteLength, result.zeroPoint.data.byteLength]).toEqual([8, 2]);
    const codes = toNumbers(result.quantized);
    expect([Math.min(...codes), Math.max(...codes)]).toEqual([0, 15]);
    expect(dequantized(result).dims).toEqual([3, 5]);
  });

  test("uses scale 1 for a slice of zeros, and accepts empty tensors", () => {
    const { scale, quantized } = quantizeWeights({ dense: float32([2, 2], [0, 0, 1, -1]), type: "int8", axis: 0 });
    expect([...scale.data]).toEqual([1, Math.fround(1 / 127)]);
    expect(toNumbers(quantized)).toEqual([0, 0, 127, -127]);
    expect(quantizeWeights({ dense: float32([0, 2], []), type: "int8", axis: 1 }).scale.dims).toEqual([2]);
  });

  test("quantizes each column with its own scale, with rounding and saturation", () => {
    const columns = [
      [0.25, 0.75, -1.25, 1e30],
      [5, -5, 1e-40, Number.POSITIVE_INFINITY],
      [-0, 3.5, 2.5, -7.5],
    ];
    const scale = [0.5, 0.1, 1];
    const zeroPoint = [0, 3, -128];
    const dense = float32(
      [4, 3],
      [0, 1, 2, 3].flatMap((row) => columns.map((column) => column[row] ?? 0)),
    );
    const codes = toNumbers(quantizeTensor(dense, { type: "int8", axis: 1, scale, zeroPoint }).quantized);
    for (const [at, column] of columns.entries()) {
      const parameters = { scale: Math.fround(scale[at] ?? 0), zeroPoint: zeroPoint[at] ?? 0 };
      expect(codes.filter((_, index) => index % 3 === at)).toEqual(codesOf(column, parameters, "int8"));
    }
    const broken = float32([1, 2], [1, Number.NaN]);
    expect(() => quantizeTensor(broken, { type: "int8", axis: 1, scale: [1, 1], zeroPoint: [0, 0] })).toThrow(
      /Element 1 is NaN/,
    );
  });

  test("limits quantized values to a given range", () => {
    const dense = float32([4], [-1, -0.1, 0.1, 1]);
    const result = quantizeTensor(dense, { type: "int8", scale: [0.1], zeroPoint: [0], range: { low: -4, high: 3 } });
    expect(toNumbers(result.quantized)).toEqual([-4, -1, 1, 3]);
  });

  test("rejects wrong axes, counts and values", () => {
    const dense = weights([2, 3], 3);
    for (const axis of [2, -3, 0.5])
      expect(() => quantizeWeights({ dense, type: "int8", axis })).toThrow(/has no axis/);
    expect(() => quantizeTensor(dense, { type: "int8", axis: 1, scale: [1], zeroPoint: [0] })).toThrow(
      /3 slices to quantize, got 1 scales/,
    );
    expect(() => quantizeWeights({ dense: float32([2], [1, Number.NaN]), type: "int8" })).toThrow(/finite/);
    expect(() => quantizeWeights({ dense: float32([2], [1, Number.POSITIVE_INFINITY]), type: "int8" })).toThrow(
      /finite/,
    );
    expect(() => channelRanges({ type: "string", dims: [1], data: ["a"] }, undefined)).toThrow(/real numbers/);
  });
});

interface GoldenWeights {
  readonly weights: readonly {
    readonly weight: GoldenTensor;
    readonly type: QuantizedType;
    readonly symmetric: boolean;
    readonly axis: number;
    readonly per_tensor: {
      readonly scale: number;
      readonly zero_point: number;
      readonly q: GoldenTensor;
      readonly raw_int4_bytes?: GoldenTensor;
    };
    readonly per_channel: {
      readonly scales: readonly number[];
      readonly zero_points: readonly number[];
      readonly q: GoldenTensor;
    };
  }[];
}
const reference = golden<GoldenWeights>("quantization");

describe.skipIf(reference === undefined)("quantizeWeights against ONNX Runtime's quantizer", () => {
  test.each(
    (reference?.weights ?? []).map(
      (entry) => [entry.type, entry.symmetric, entry.weight.shape.join(" × "), entry] as const,
    ),
  )("gives equal values: %s, symmetric %s, %s", (type, symmetric, _, { weight, axis, per_tensor, per_channel }) => {
    const dense = float32(weight.shape, goldenNumbers(weight));
    const perTensor = quantizeWeights({ dense, type, symmetric });
    expect([...perTensor.scale.data]).toEqual([Math.fround(per_tensor.scale)]);
    expect(toNumbers(perTensor.zeroPoint)).toEqual([per_tensor.zero_point]);
    expect(toNumbers(perTensor.quantized)).toEqual(per_tensor.q.data);
    if (per_tensor.raw_int4_bytes) expect([...perTensor.quantized.data]).toEqual(per_tensor.raw_int4_bytes.data);
    const channels = quantizeWeights({ dense, type, symmetric, axis });
    expect([...channels.scale.data]).toEqual(per_channel.scales.map(Math.fround));
    expect(toNumbers(channels.zeroPoint)).toEqual(per_channel.zero_points);
    expect(toNumbers(channels.quantized)).toEqual(per_channel.q.data);
  });
});
