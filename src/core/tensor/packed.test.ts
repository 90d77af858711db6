import { expect, test } from "vitest";
import fc from "../../../test/property.ts";
import { pack, unpack } from "./packed.ts";

test("pack stores the first element in the low bits", () => {
  expect([...pack("uint4", [1, 2, 3])]).toEqual([0x21, 0x03]);
  expect([...pack("int4", [-1, -8, 7])]).toEqual([0x8f, 0x07]);
  expect([...pack("uint2", [1, 2, 3, 0, 2])]).toEqual([0b00111001, 0b10]);
  expect([...pack("int2", [-1, -2, 1, 0])]).toEqual([0b00011011]);
});

test.each([
  ["int4", -8, 7],
  ["uint4", 0, 15],
  ["int2", -2, 1],
  ["uint2", 0, 3],
] as const)("unpack of %s inverts pack for any count", (type, min, max) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min, max })), (values) => {
      expect([...unpack(type, pack(type, values), values.length)]).toEqual(values);
    }),
  );
});

test.each([
  ["int4", 8],
  ["int4", -9],
  ["uint4", -1],
  ["uint2", 4],
  ["int2", 2],
  ["uint4", 1.5],
  ["uint4", Number.NaN],
] as const)("pack of %s rejects %d instead of wrapping", (type, value) => {
  expect(() => pack(type, [0, value])).toThrow(/Element 1/);
});

test("unpack rejects too few bytes", () => {
  expect(() => unpack("int4", new Uint8Array(2), 5)).toThrow(/take 3 bytes, got 2/);
});
