import { describe, expect, test } from "vitest";
import fc from "../../../test/property.ts";
import { type GoldenTensor, golden, goldenNumbers } from "../../../test/shared.ts";
import { decodeFloats, encodeFloats, type SmallFloat } from "./small-float.ts";

const encodable = [
  "float16",
  "bfloat16",
  "float8e4m3fn",
  "float8e4m3fnuz",
  "float8e5m2",
  "float8e5m2fnuz",
  "float4e2m1",
] as const;
const widths = {
  float16: 16,
  bfloat16: 16,
  float4e2m1: 4,
  float8e4m3fn: 8,
  float8e4m3fnuz: 8,
  float8e5m2: 8,
  float8e5m2fnuz: 8,
} as const;

function allCodes(type: (typeof encodable)[number]): number[] {
  return Array.from({ length: 2 ** widths[type] }, (_, code) => code);
}

describe("encodeFloats and decodeFloats", () => {
  test.each(encodable)("keeps every %s code", (type) => {
    const codes = allCodes(type);
    const values = decodeFloats(type, codes);
    const back = encodeFloats(type, values, { saturate: false });
    const again = decodeFloats(type, back);
    // NaN has many bit patterns, and any of them is accepted.
    const lost = codes.filter((code) =>
      Number.isNaN(values[code]) ? !Number.isNaN(again[code]) : back[code] !== code,
    );
    expect(lost).toEqual([]);
  });

  test.each(encodable)("rounds to the nearest %s code, ties to even", (type) => {
    const finite = allCodes(type).filter((code) => code < 2 ** (widths[type] - 1));
    const values = decodeFloats(type, finite);
    const wrong: number[] = [];
    for (let code = 0; code + 1 < finite.length; code++) {
      const low = values[code] ?? 0;
      const high = values[code + 1] ?? 0;
      if (!Number.isFinite(low) || !Number.isFinite(high)) break;
      const middle = (low + high) / 2;
      const [below, half, above] = encodeFloats(type, [middle * (1 - 2 ** -50), middle, middle * (1 + 2 ** -50)]);
      if (below !== code || half !== code + (code % 2) || above !== code + 1) wrong.push(code);
    }
    expect(wrong).toEqual([]);
  });

  test("rounds once, not through float32", () => {
    // 1 + 2^-11 is halfway between two float16 values; float32 drops the 2^-30 above it.
    expect([...encodeFloats("float16", [1 + 2 ** -11, 1 + 2 ** -11 + 2 ** -30])]).toEqual([0x3c00, 0x3c01]);
  });

  test("overflows float16 to infinity from 65520 on by default", () => {
    expect([...encodeFloats("float16", [65519.999, 65520, -65520, 1e300])]).toEqual([0x7bff, 0x7c00, 0xfc00, 0x7c00]);
    expect([...encodeFloats("float16", [1e300, Number.NEGATIVE_INFINITY], { saturate: true })]).toEqual([
      0x7bff, 0xfbff,
    ]);
  });

  test("rounds float32 arrays to the same float16 bits as other numbers", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 64, maxLength: 64 }),
        fc.integer({ min: -26, max: 17 }),
        (bytes, power) => {
          const random = new Float32Array(bytes.buffer.slice(0));
          const halves = Array.from(random.keys(), (index) => (1 + (bytes[index] ?? 0) / 2 ** 12) * 2 ** power);
          const floats = Float32Array.of(...random, ...halves, ...halves.map((half) => -half), 65504, 65519, 65520, -0);
          expect(encodeFloats("float16", floats)).toEqual(encodeFloats("float16", [...floats]));
        },
      ),
    );
  });

  test("saturates 8-bit floats by default, and otherwise gives infinity or NaN", () => {
    const large = [1e9, Number.NEGATIVE_INFINITY];
    expect([...decodeFloats("float8e4m3fn", encodeFloats("float8e4m3fn", large))]).toEqual([448, -448]);
    expect([...decodeFloats("float8e5m2", encodeFloats("float8e5m2", large))]).toEqual([57344, -57344]);
    expect([...decodeFloats("float8e5m2", encodeFloats("float8e5m2", large, { saturate: false }))]).toEqual([
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
    ]);
    expect(decodeFloats("float8e4m3fnuz", encodeFloats("float8e4m3fnuz", large, { saturate: false }))[0]).toBeNaN();
  });

  test("has no negative zero in the uz formats", () => {
    expect(encodeFloats("float8e4m3fnuz", [-0, -1e-30])).toEqual(Uint8Array.of(0, 0));
    expect(decodeFloats("float8e5m2fnuz", [0x80])[0]).toBeNaN();
  });

  test("decodes float8e8m0 codes as powers of two", () => {
    expect([...decodeFloats("float8e8m0", [0, 127, 130, 255])]).toEqual([2 ** -127, 1, 8, Number.NaN]);
  });

  test("saturates at the largest values of the formats", () => {
    const largest = encodable.map((type) => decodeFloats(type, encodeFloats(type, [1e39], { saturate: true }))[0]);
    expect(largest).toEqual([65504, Math.fround(3.3895313892515355e38), 448, 240, 57344, 57344, 6]);
  });

  test("converts bfloat16 as the upper half of float32", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff }), (code) => {
        const expected = new Float32Array(new Uint32Array([code * 0x10000]).buffer)[0] ?? 0;
        const got = decodeFloats("bfloat16", [code])[0] ?? 0;
        expect(Object.is(got, expected)).toBe(true);
        if (!Number.isNaN(expected)) expect(encodeFloats("bfloat16", [expected])[0]).toBe(code);
      }),
    );
  });
});

interface GoldenFloats {
  readonly float16: readonly { readonly x: GoldenTensor; readonly bits: GoldenTensor }[];
  readonly bfloat16_float8: readonly Readonly<Record<string, GoldenTensor>>[];
}
const reference = golden<GoldenFloats>("quantization");

describe.skipIf(reference === undefined)("small floats against NumPy and ONNX Runtime", () => {
  test("gives equal float16 bits", () => {
    for (const { x, bits } of reference?.float16 ?? []) {
      const got = encodeFloats("float16", goldenNumbers(x).map(Math.fround));
      const values = decodeFloats("float16", got);
      for (const [index, expected] of goldenNumbers(bits).entries()) {
        if (x.data[index] === "nan") expect(values[index]).toBeNaN();
        else expect(got[index]).toBe(expected);
      }
    }
  });

  test("gives equal bfloat16 and float8e4m3fn values", () => {
    for (const entry of reference?.bfloat16_float8 ?? []) {
      const {
        x,
        through_bfloat16,
        through_float8e4m3fn_saturate,
        through_float8e4m3fn_not_saturating,
        float8e4m3fn_table,
      } = entry;
      if (
        !x ||
        !through_bfloat16 ||
        !through_float8e4m3fn_saturate ||
        !through_float8e4m3fn_not_saturating ||
        !float8e4m3fn_table
      )
        throw new Error("the golden file has another form");
      const numbers = goldenNumbers(x).map(Math.fround);
      const through = (type: SmallFloat & (typeof encodable)[number], saturate?: boolean) =>
        Float64Array.from(decodeFloats(type, encodeFloats(type, numbers, saturate === undefined ? {} : { saturate })));
      const rounded = (tensor: GoldenTensor) => goldenNumbers(tensor).map(Math.fround);
      expect(through("bfloat16")).toEqual(rounded(through_bfloat16));
      expect(through("float8e4m3fn")).toEqual(rounded(through_float8e4m3fn_saturate));
      expect(through("float8e4m3fn", false)).toEqual(rounded(through_float8e4m3fn_not_saturating));
      expect(
        Float64Array.from(
          decodeFloats(
            "float8e4m3fn",
            Array.from({ length: 256 }, (_, code) => code),
          ),
        ),
      ).toEqual(rounded(float8e4m3fn_table));
    }
  });
});
