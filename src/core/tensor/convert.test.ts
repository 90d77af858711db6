import { expect, test } from "vitest";
import fc from "../../../test/property.ts";
import { fromNumbers, integerRange, toFloat32, toFloat64, toInt64, toNumbers } from "./convert.ts";
import { bytesFor, float32 } from "./dense.ts";
import { roundHalfEven } from "./round.ts";
import type { Dense } from "./types.ts";

test("roundHalfEven rounds halves to the even integer", () => {
  const values = [
    0.5,
    1.5,
    2.5,
    -0.5,
    -1.5,
    -2.5,
    0.49999999999999994,
    2 ** 52 + 1,
    -(2 ** 53),
    4503599627370495.5,
    1e300,
  ];
  expect(values.map((value) => roundHalfEven(value) + 0)).toEqual([
    0,
    2,
    2,
    0,
    -2,
    -2,
    0,
    2 ** 52 + 1,
    -(2 ** 53),
    2 ** 52,
    1e300,
  ]);
});

test("roundHalfEven returns an integer at most 0.5 away", () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, min: -1e17, max: 1e17 }), (value) => {
      expect(Math.abs(roundHalfEven(value) - value)).toBeLessThanOrEqual(0.5);
      expect(Number.isInteger(roundHalfEven(value))).toBe(true);
    }),
  );
});

const integerTypes = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int4", "uint4", "int2", "uint2"] as const;

test.each(integerTypes)("fromNumbers of %s rounds half to even and saturates", (type) => {
  const [low, high] = integerRange[type];
  const dense = fromNumbers(type, [5], [low - 0.6, high + 1e10, Number.NEGATIVE_INFINITY, 0.5, high - 0.5]);
  const nearHigh = (high - 1) % 2 === 0 ? high - 1 : high;
  expect(toNumbers(dense)).toEqual([low, high, low, 0, nearHigh]);
  expect(dense.data.byteLength).toBe(bytesFor(type, 5));
});

test("fromNumbers of integers rejects NaN", () => {
  expect(() => fromNumbers("int8", [2], [0, Number.NaN])).toThrow(/Element 1 is NaN/);
  expect(() => fromNumbers("int64", [1], [Number.NaN])).toThrow(/NaN/);
});

test("fromNumbers of int64 saturates, so the largest value is kept", () => {
  const end = 2n ** 63n - 1n;
  const numbers = toNumbers({ type: "int64", dims: [2], data: BigInt64Array.of(end, -(2n ** 63n)) });
  expect([...fromNumbers("int64", [2], numbers).data]).toEqual([end, -(2n ** 63n)]);
  expect(toInt64(2.5)).toBe(2n);
  expect(toInt64(Number.POSITIVE_INFINITY)).toBe(end);
  expect([...fromNumbers("uint64", [2], [-1, 1e30]).data]).toEqual([0n, 2n ** 64n - 1n]);
});

const floatTypes = [
  "float32",
  "float64",
  "float16",
  "bfloat16",
  "float8e4m3fn",
  "float8e4m3fnuz",
  "float8e5m2",
  "float8e5m2fnuz",
  "float4e2m1",
] as const;

test.each(floatTypes)("fromNumbers of %s keeps representable values", (type) => {
  const numbers = [0, 1, -1, 0.5, 2, -6, 4];
  const dense = fromNumbers(type, [7], numbers);
  expect([...toFloat64(dense)]).toEqual(numbers);
  expect([...toFloat32(dense)]).toEqual(numbers);
  expect(dense.data.byteLength).toBe(bytesFor(type, 7));
});

test("fromNumbers of bool stores 0 or 1", () => {
  expect([...fromNumbers("bool", [3], [0, 0.5, -3]).data]).toEqual([0, 1, 1]);
});

test("toFloat32 and toFloat64 do not copy data of the requested type", () => {
  const single = float32([2], [1, 2]);
  expect(toFloat32(single)).toBe(single.data);
  const double = fromNumbers("float64", [1], [1]);
  expect(toFloat64(double)).toBe(double.data);
});

test("conversions reject wrong counts and types that are not real", () => {
  expect(() => fromNumbers("float32", [2, 2], [1, 2, 3])).toThrow("float32[2, 2] takes 4 numbers, got 3.");
  const text: Dense = { type: "string", dims: [1], data: ["a"] };
  expect(() => toFloat64(text)).toThrow(/real numbers/);
  expect(() => toFloat32({ type: "complex64", dims: [1], data: Float32Array.of(1, 2) })).toThrow(/complex64/);
});
