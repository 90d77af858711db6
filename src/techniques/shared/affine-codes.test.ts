import { describe, expect, test } from "vitest";
import fc from "../../../test/property.ts";
import { type GoldenTensor, golden, goldenNumbers } from "../../../test/shared.ts";
import { codesOf } from "../../../test/techniques/quantize/reference.ts";
import {
  type QuantizedType,
  quantizationRange,
  quantizeBias,
  scaleAndZeroPoint,
  smallestBiasScale,
  weightScaleForBias,
} from "./affine-codes.ts";

const types = ["int8", "uint8", "int16", "uint16", "int4", "uint4", "int2", "uint2"] as const;

describe("affine quantization", () => {
  test.each(types)("%s: restores values in the range within one step, and 0 exactly", (type) => {
    const bound = fc.float({ min: -1000, max: 1000, noNaN: true });
    fc.assert(
      fc.property(bound, bound, fc.float({ min: 0, max: 1, noNaN: true }), fc.boolean(), (a, b, share, symmetric) => {
        const [min, max] = [Math.min(a, b, 0), Math.max(a, b, 0)];
        const parameters = scaleAndZeroPoint(min, max, { type, symmetric });
        const value = Math.fround(min + share * (max - min));
        const codes = codesOf([value, 0], parameters, type);
        const [back = Number.NaN, zero] = codes.map((code) => (code - parameters.zeroPoint) * parameters.scale);
        expect(zero).toBe(0);
        if (parameters.scale === 1 && max - min < 1e-30) return; // Everything counts as 0.
        // The zero point is rounded, so values at one end of the range can be clipped by up to a step.
        const halfSteps = symmetric && (type === "int8" || type === "int16") ? 1 : 2;
        const tolerance = parameters.scale * (halfSteps / 2) * (1 + 1e-5) + Math.abs(value) * 1e-6;
        expect(Math.abs(back - value)).toBeLessThanOrEqual(tolerance);
      }),
    );
  });

  test("rounds halves to even and saturates large values", () => {
    const parameters = { scale: 1, zeroPoint: 0 };
    expect(codesOf([0.5, 1.5, 2.5, -2.5, 300, -1e30, Number.POSITIVE_INFINITY], parameters, "int8")).toEqual([
      0, 2, 2, -2, 127, -128, 127,
    ]);
    expect(codesOf([-9, 9], parameters, "int8", { low: -4, high: 3 })).toEqual([-4, 3]);
  });

  test("divides values by the scale instead of multiplying by its inverse", () => {
    const scale = Math.fround(0.3);
    // The quotient of these values ends in .5, but the product with the inverse does not.
    const differs = Array.from({ length: 200 }, (_, index) => Math.fround((index + 0.5) * scale)).filter((value) => {
      const quotient = Math.fround(value / scale);
      const product = Math.fround(value * Math.fround(1 / scale));
      return quotient % 1 === 0.5 && product % 1 !== 0.5;
    });
    expect(differs.length).toBeGreaterThan(0);
    for (const value of differs) {
      const half = Math.fround(value / scale);
      const even = 2 * Math.round(half / 2);
      expect(codesOf([value], { scale, zeroPoint: 0 }, "int16")).toEqual([even]);
    }
  });

  test("omits the lowest value of symmetric int8 and int16", () => {
    expect(quantizationRange({ type: "int8" })).toEqual({ low: -127, high: 127 });
    expect(quantizationRange({ type: "int8", symmetric: false })).toEqual({ low: -128, high: 127 });
    expect(quantizationRange({ type: "int4" })).toEqual({ low: -8, high: 7 });
    expect(quantizationRange({ type: "uint8", reduceRange: true })).toEqual({ low: 0, high: 127 });
  });

  test("gives a finite scale for a range wider than float32", () => {
    const { scale } = scaleAndZeroPoint(-3e38, 3e38, { type: "uint8" });
    expect(scale).toBeCloseTo(6e38 / 255, -33);
  });

  test("rejects invalid ranges and NaN", () => {
    expect(() => scaleAndZeroPoint(1, Number.NaN, { type: "int8" })).toThrow(/finite bounds/);
    expect(() => scaleAndZeroPoint(Number.NEGATIVE_INFINITY, 1, { type: "int8" })).toThrow(/finite bounds/);
    expect(() => scaleAndZeroPoint(2, 1, { type: "int8" })).toThrow(/in order/);
    expect(() => codesOf([0, Number.NaN], { scale: 1, zeroPoint: 0 }, "int8")).toThrow(/Element 1 is NaN/);
  });
});

describe("quantizeBias", () => {
  test("accepts one weight scale for all elements", () => {
    const { codes, scale } = quantizeBias([1, -0.5], 0.5, [0.25]);
    expect([[...codes], [...scale]]).toEqual([[8, -4], [0.125]]);
  });

  test("counts saturated biases, which fit after weightScaleForBias enlarges the scale", () => {
    const { codes, saturated } = quantizeBias([10, -10, 0], 1e-6, [1e-6]);
    expect([[...codes], saturated]).toEqual([[2 ** 31 - 1, -(2 ** 31), 0], 2]);
    const enlarged = weightScaleForBias(1e-6, 1e-6, 10);
    const fitting = quantizeBias([10, -10], 1e-6, [enlarged]);
    expect(fitting.saturated).toBe(0);
    expect((fitting.codes[0] ?? 0) * (fitting.scale[0] ?? 0)).toBeCloseTo(10, 6);
    expect(weightScaleForBias(0.1, 0.1, 10)).toBe(0.1);
    expect(weightScaleForBias(1e-6, 1e-6, 0)).toBe(1e-6);
  });

  test("rejects a wrong number of scales, and NaN", () => {
    expect(() => quantizeBias([1, 2, 3], 1, [1, 2])).toThrow(/3 elements has 2 weight scales/);
    expect(() => quantizeBias([Number.NaN], 1, [1])).toThrow(/NaN/);
  });
});

interface GoldenQuantization {
  readonly scale_zero_point: readonly {
    readonly rows: readonly (readonly [
      QuantizedType,
      boolean,
      boolean,
      number,
      number,
      number | null,
      number,
      number,
      number,
      number,
    ])[];
  }[];
  readonly quantize_linear: readonly {
    readonly type: QuantizedType;
    readonly x: GoldenTensor;
    readonly scale: number;
    readonly zero_point: number;
    readonly q: GoldenTensor;
  }[];
  readonly bias_int32: readonly {
    readonly bias: GoldenTensor;
    readonly input_scale: number;
    readonly weight_scale: GoldenTensor;
    readonly scale: GoldenTensor;
    readonly q: GoldenTensor;
  }[];
  readonly bias_overflow_guard: readonly {
    readonly input_scale: number;
    readonly weight_scale: number;
    readonly bias: number;
    readonly smallest_product: number;
    readonly weight_scale_used: number;
  }[];
}
const reference = golden<GoldenQuantization>("quantization");
const single = (tensor: GoldenTensor) => goldenNumbers(tensor).map(Math.fround);

describe.skipIf(reference === undefined)("quantization against ONNX Runtime", () => {
  test("gives equal scales and zero points", () => {
    const rows = (reference?.scale_zero_point ?? []).flatMap(({ rows }) => rows);
    expect(rows.length).toBeGreaterThan(100);
    for (const [type, symmetric, reduceRange, min, max, minimum, low, high, scale, zeroPoint] of rows) {
      const options = { type, symmetric, reduceRange, ...(minimum === null ? {} : { minimumRange: minimum }) };
      const row = `${type} symmetric ${symmetric} reduced ${reduceRange} ${min} … ${max}`;
      expect(quantizationRange(options), row).toEqual({ low, high });
      expect(scaleAndZeroPoint(min, max, options), row).toEqual({ scale: Math.fround(scale), zeroPoint });
    }
  });

  test("gives equal quantized values", () => {
    for (const { type, x, scale, zero_point, q } of reference?.quantize_linear ?? []) {
      const parameters = { scale: Math.fround(scale), zeroPoint: zero_point };
      expect(codesOf([...goldenNumbers(x)], parameters, type)).toEqual([...goldenNumbers(q)]);
    }
  });

  test("gives equal biases", () => {
    for (const { bias, input_scale, weight_scale, scale, q } of reference?.bias_int32 ?? []) {
      const result = quantizeBias(single(bias), Math.fround(input_scale), single(weight_scale));
      expect([...result.scale]).toEqual([...single(scale)]);
      expect([...result.codes]).toEqual([...goldenNumbers(q)]);
    }
  });

  test("gives an equal guard against bias overflow", () => {
    for (const {
      input_scale,
      weight_scale,
      bias,
      smallest_product,
      weight_scale_used,
    } of reference?.bias_overflow_guard ?? []) {
      expect(smallestBiasScale(bias) / smallest_product).toBeCloseTo(1, 12);
      expect(weightScaleForBias(input_scale, weight_scale, bias) / weight_scale_used).toBeCloseTo(1, 12);
    }
  });
});
