import { describe, expect, test } from "vitest";
import { fromHex, hex, joined, message } from "../../../test/core/onnx/messages.ts";
import { bytesSource } from "../platform/sources.ts";
import { bytesOf } from "../tensor/dense.ts";
import { typeCodes, typeOfCode } from "../tensor/types.ts";
import { ExternalFiles } from "./external.ts";
import { tensorFields as f } from "./field-numbers.ts";
import { LazyFile } from "./lazy-file.ts";
import { originOf } from "./origin.ts";
import { type ParsedTensor, readTensor } from "./tensor.ts";
import { writeTensor } from "./write-tensor.ts";
import { Writer } from "./writer.ts";

/** Three elements "t" of each type: the typed fields that onnx.helper.make_tensor of onnx 1.23 writes, and the same raw bytes. */
const typed: readonly (readonly [code: number, message: string, raw: string])[] = [
  [1, "08031001220c0000c03f000000c00000803e420174", "0000c03f000000c00000803e"],
  [2, "080310022a040007ff01420174", "0007ff"],
  [3, "080310032a1580ffffffffffffffff01ffffffffffffffffff017f420174", "80ff7f"],
  [4, "080310042a050001ffff03420174", "00000100ffff"],
  [5, "080310052a178080feffffffffffff01ffffffffffffffffff01ffff01420174", "0080ffffff7f"],
  [6, "080310062a1980808080f8ffffffff01ffffffffffffffffff01ffffffff07420174", "00000080ffffffffffffff7f"],
  [
    7,
    "080310073a1d80808080808080808001ffffffffffffffffff01ffffffffffffffff7f420174",
    "0000000000000080ffffffffffffffffffffffffffffff7f",
  ],
  [9, "080310092a03010001420174", "010001"],
  [10, "0803100a2a07807c8080038068420174", "003e00c00034"],
  [
    11,
    "0803100b4201745218000000000000f83f00000000000000c09a9999999999b93f",
    "000000000000f83f00000000000000c09a9999999999b93f",
  ],
  [12, "0803100c4201745a070001ffffffff0f", "0000000001000000ffffffff"],
  [13, "0803100d4201745a0c0001ffffffffffffffffff01", "00000000000000000100000000000000ffffffffffffffff"],
  [
    14,
    "0803100e22180000803f0000004000000080000080bf0000003f00000000420174",
    "0000803f0000004000000080000080bf0000003f00000000",
  ],
  [
    15,
    "0803100f4201745230000000000000f03f00000000000000400000000000000080000000000000f0bf000000000000e03f0000000000000000",
    "000000000000f03f00000000000000400000000000000080000000000000f0bf000000000000e03f0000000000000000",
  ],
  [16, "080310102a07c07f808003807d420174", "c03f00c0803e"],
  [17, "080310112a043cc00128420174", "3cc028"],
  [18, "080310122a0444c80130420174", "44c830"],
  [19, "080310132a043ec00134420174", "3ec034"],
  [20, "080310142a0442c40138420174", "42c438"],
  [21, "080310152a03f10107420174", "f107"],
  [22, "080310162a02780f420174", "780f"],
  [23, "080310172a03c30101420174", "c301"],
  [24, "080310182a047f80017d420174", "7f807d"],
  [25, "080310192a0127420174", "27"],
  [26, "0803101a2a0136420174", "36"],
];

async function read(bytes: Uint8Array): Promise<ParsedTensor> {
  const file = new LazyFile(bytesSource(bytes));
  return readTensor(file, await file.fields(0, bytes.byteLength), new ExternalFiles(undefined), "tensor");
}

async function written({ tensor, name }: ParsedTensor): Promise<Uint8Array> {
  const writer = new Writer();
  writeTensor(writer, tensor, { name, strings: new Map() });
  return joined(writer.finish());
}

describe("readTensor and writeTensor", () => {
  test.each(typed)("reads typed data of element type %i, and writes the same bytes", async (code, bytes, raw) => {
    const result = await read(fromHex(bytes));
    expect(result.name).toBe("t");
    expect(result.tensor.type).toBe(typeOfCode(code));
    const dense = await result.tensor.read();
    expect(dense.type !== "string" && hex(bytesOf(dense))).toBe(raw);
    expect(hex(await written(result))).toBe(bytes);
  });

  test.each(typed)("reads raw bytes of element type %i, and writes the same bytes", async (code, _, raw) => {
    const bytes = await message((writer) => {
      writer.integer(f.dims, 3);
      writer.integer(f.type, code);
      writer.text(f.name, "t");
      writer.bytes(f.rawData, fromHex(raw));
    });
    const result = await read(bytes);
    const dense = await result.tensor.read();
    expect(dense.type !== "string" && hex(bytesOf(dense))).toBe(raw);
    expect(hex(await written(result))).toBe(hex(bytes));
  });

  test("reads strings as texts", async () => {
    const bytes = fromHex("0803100832016132003202c3a9420174");
    const result = await read(bytes);
    expect(await result.tensor.read()).toEqual({ type: "string", dims: [3], data: ["a", "", "é"] });
    expect(result.tensor.bytes).toBe(3);
    expect(hex(await written(result))).toBe(hex(bytes));
  });

  test("reads values written individually like packed ones", async () => {
    const bytes = await message((writer) => {
      writer.integer(f.dims, 5);
      writer.integer(f.type, typeCodes.int32);
      for (const value of [1, -1, 7, 2 ** 31 - 1, -(2 ** 31)]) writer.integer(f.int32Data, value);
    });
    expect((await (await read(bytes)).tensor.read()).data).toEqual(Int32Array.of(1, -1, 7, 2 ** 31 - 1, -(2 ** 31)));
  });
});

describe("readTensor on large tensors", () => {
  const count = 20_000;

  test("leaves raw bytes in the file and reports their range", async () => {
    const values = Float32Array.from({ length: count }, (_, index) => index);
    const bytes = await message((writer) => {
      writer.integer(f.dims, count);
      writer.integer(f.type, 1);
      writer.text(f.name, "w");
      writer.bytes(f.rawData, new Uint8Array(values.buffer));
    });
    const { tensor } = await read(bytes);
    expect(tensor.small).toBeUndefined();
    expect([tensor.stored?.start, tensor.stored?.end]).toEqual([bytes.byteLength - 4 * count, bytes.byteLength]);
    expect((await tensor.read()).data).toEqual(values);
  });

  test.each([true, false])("decodes varints (packed: %s) on demand", async (packed) => {
    const values = Array.from({ length: count }, (_, index) => (index * 7919) % 100_000);
    const bytes = await message((writer) => {
      writer.integer(f.dims, count);
      writer.integer(f.type, typeCodes.int64);
      if (packed) {
        const inner = new Writer();
        for (const value of values) inner.integer(1, value);
        // Packed varints are the same varints without their one-byte tags.
        const single = inner.finish().flatMap((piece) => (piece instanceof Uint8Array ? [...piece] : []));
        const untagged: number[] = [];
        for (let at = 0; at < single.length; ) {
          for (at++; (single[at] ?? 0) >= 0x80; at++) untagged.push(single[at] ?? 0);
          untagged.push(single[at++] ?? 0);
        }
        writer.bytes(f.int64Data, Uint8Array.from(untagged));
      } else for (const value of values) writer.integer(f.int64Data, value);
      writer.text(f.name, "indices");
    });
    const result = await read(bytes);
    expect(result.name).toBe("indices");
    expect(result.tensor.stored).toBeUndefined();
    expect((await result.tensor.read()).data).toEqual(BigInt64Array.from(values, BigInt));
    expect(hex(await written(result))).toBe(hex(bytes));
  });

  test("refers to strings as one range", async () => {
    const texts = Array.from({ length: 5000 }, (_, index) => `word ${index}`);
    const bytes = await message((writer) => {
      writer.integer(f.dims, texts.length);
      writer.integer(f.type, 8);
      for (const text of texts) writer.text(f.stringData, text);
      writer.text(f.name, "vocabulary");
    });
    const result = await read(bytes);
    expect(originOf(result.tensor)?.pieces?.length).toBe(1);
    expect((await result.tensor.read()).data).toEqual(texts);
    expect(hex(await written(result))).toBe(hex(bytes));
  });
});

describe("readTensor on inconsistent tensors", () => {
  const bad = async (fill: (writer: Writer) => void): Promise<ParsedTensor> => read(await message(fill));

  test.each([
    ["too few raw bytes", 1, [3], "E_MODEL", /takes|ask for 12 bytes/],
    ["no data", 1, [3, 4], "E_MODEL", /12 elements, it has 0/],
    ["a negative dimension", 1, [-1], "E_MODEL", /are not dimensions/],
    ["dimensions whose product is not exact", 1, [2 ** 31, 2 ** 31], "E_MODEL", /are not dimensions/],
    ["no element type", 0, [1], "E_MODEL", /no element type/],
    ["an unknown element type", 99, [1], "E_UNSUPPORTED", /number 99/],
  ] as const)("rejects %s", async (what, code, dims, error, sentence) => {
    const attempt = bad((writer) => {
      for (const dim of dims) writer.integer(f.dims, dim);
      writer.integer(f.type, code);
      writer.text(f.name, "w");
      if (what === "too few raw bytes") writer.bytes(f.rawData, new Uint8Array(8));
    });
    await expect(attempt).rejects.toMatchObject({ code: error, message: expect.stringMatching(sentence) });
  });

  test("rejects data in a field of another type", async () => {
    const attempt = bad((writer) => {
      writer.integer(f.dims, 2);
      writer.integer(f.type, typeCodes.int32);
      writer.bytes(f.int64Data, Uint8Array.of(1, 2));
    });
    await expect(attempt).rejects.toMatchObject({ code: "E_MODEL" });
  });

  test("rejects raw data together with typed data", async () => {
    const attempt = bad((writer) => {
      writer.integer(f.dims, 1);
      writer.integer(f.type, 1);
      writer.bytes(f.floatData, new Uint8Array(4));
      writer.bytes(f.rawData, new Uint8Array(4));
    });
    await expect(attempt).rejects.toMatchObject({ code: "E_MODEL", message: expect.stringMatching(/twice/) });
  });

  test("rejects a billion elements in four bytes before it allocates memory", async () => {
    const attempt = bad((writer) => {
      writer.integer(f.dims, 2 ** 30);
      writer.integer(f.type, typeCodes.int64);
      writer.bytes(f.int64Data, Uint8Array.of(1, 2, 3, 4));
    });
    await expect(attempt).rejects.toMatchObject({ code: "E_MODEL" });
  });

  test("rejects strings as raw bytes, and strings that are not UTF-8", async () => {
    const raw = bad((writer) => {
      writer.integer(f.dims, 1);
      writer.integer(f.type, 8);
      writer.bytes(f.rawData, Uint8Array.of(97));
    });
    await expect(raw).rejects.toMatchObject({ code: "E_MODEL" });
    const broken = bad((writer) => {
      writer.integer(f.dims, 1);
      writer.integer(f.type, 8);
      writer.bytes(f.stringData, Uint8Array.of(0xff));
    });
    await expect(broken).rejects.toMatchObject({ code: "E_MODEL", message: expect.stringMatching(/UTF-8/) });
  });
});
