import { describe, expect, test } from "vitest";
import { fromHex, joined, message } from "../../../test/core/onnx/messages.ts";
import fc from "../../../test/property.ts";
import { PithError } from "../errors.ts";
import { eachVarint, fixedBytes, lastVarint, payload, splitFields } from "./fields.ts";
import { Cursor, decodeText } from "./wire.ts";
import { Writer } from "./writer.ts";

describe("varints", () => {
  test("reads integers as written, over the range of int64", async () => {
    const value = fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.bigInt(-300n, 300n));
    await fc.assert(
      fc.asyncProperty(fc.array(value), async (values) => {
        const bytes = await message((writer) => {
          for (const value of values) writer.integer(7, value);
        });
        const read: bigint[] = [];
        for (const field of splitFields(bytes)) eachVarint(field, (cursor) => read.push(BigInt(cursor.signed)));
        expect(read).toEqual(values);
      }),
    );
  });

  test("reads exact integers as numbers, and larger ones as bigints", () => {
    const read = (hex: string): number | bigint => {
      const cursor = new Cursor(fromHex(hex));
      cursor.varint(hex.length / 2);
      return cursor.signed;
    };
    expect(read("ffffffffffffffffff01")).toBe(-1);
    expect(read("ffffffffffffff0f")).toBe(2 ** 53 - 1);
    expect(read("ffffffffffffffff7f")).toBe(2n ** 63n - 1n);
    expect(read("80808080808080808001")).toBe(-(2n ** 63n));
  });

  test("rejects varints of more than 10 bytes or past the end", () => {
    expect(() => splitFields(fromHex("08ffffffffffffffffffff01"))).toThrow(/more than 10 bytes/);
    expect(() => splitFields(fromHex("08ff"))).toThrow(/runs past the end/);
  });
});

describe("splitFields", () => {
  test.each([
    ["a length past the end", "0a05616263"],
    ["a length of 2⁶³", "0affffffffffffffffff01"],
    ["8 bytes of which only 3 exist", "09010203"],
    ["field number 0", "0001"],
    ["groups", "0b0c"],
    ["wire type 7", "0f01"],
  ])("rejects %s with E_NOT_ONNX", (_, bytes) => {
    expect(() => splitFields(fromHex(bytes))).toThrow(expect.objectContaining({ code: "E_NOT_ONNX" }));
  });

  test("groups adjacent values of one field number", async () => {
    const bytes = await message((writer) => {
      for (const value of [1, 300, -1]) writer.integer(2, value);
      writer.integer(3, 4);
    });
    const fields = splitFields(bytes, 1000);
    expect(fields.map(({ number, from, end }) => [number, from, end])).toEqual([
      [2, 1000, 1000 + 2 + 3 + 11],
      [3, 1016, 1018],
    ]);
    const [run] = fields;
    expect(run && lastVarint(run)).toBe(-1);
  });

  test("reads packed floats like individual ones", async () => {
    const values = [1.5, -2, 0.25];
    const single = await message((writer) => {
      for (const value of values) writer.float(4, value);
    });
    const packed = await message((writer) => writer.bytes(4, new Uint8Array(Float32Array.from(values).buffer)));
    for (const bytes of [single, packed]) {
      const [field] = splitFields(bytes);
      const raw = field === undefined ? undefined : fixedBytes(field, 5).slice();
      expect([...new Float32Array(raw?.buffer ?? new ArrayBuffer(0))]).toEqual(values);
    }
  });

  test("gives fields that reject access with the wrong wire type", () => {
    const [field] = splitFields(fromHex("0801"));
    expect(() => field && payload(field)).toThrow(PithError);
  });
});

describe("decodeText", () => {
  test("reads text as written, for any characters", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary", maxLength: 100 }), async (text) => {
        const writer = new Writer();
        writer.text(1, text);
        const [field] = splitFields(await joined(writer.finish()));
        expect(field && decodeText(payload(field))).toBe(text);
      }),
    );
  });

  test("keeps a byte order mark, and returns undefined if the bytes are not UTF-8", () => {
    expect(decodeText(fromHex("efbbbf61"))).toBe("\ufeffa");
    expect(decodeText(fromHex("ff61"))).toBeUndefined();
  });
});
