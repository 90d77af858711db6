import { gzipSync, unzipSync, zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { bytesSource } from "#platform";
import { PithError } from "../../core/errors.ts";
import type { Dense } from "../../core/tensor/types.ts";
import { cifar, csv, idx, jsonl } from "../index.ts";
import { parseIdx } from "./idx.ts";
import { npzBytes, npzColumns, parseNpy } from "./npy.ts";

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

function idxBytes(type: number, dims: readonly number[], data: readonly number[]): Uint8Array {
  return Uint8Array.of(0, 0, type, dims.length, ...dims.flatMap((dim) => [0, 0, dim >> 8, dim & 255]), ...data);
}

function npyBytes(header: string, data: Uint8Array, version = 1): Uint8Array {
  const text = new TextEncoder().encode(header);
  const length = version === 1 ? [text.length & 255, text.length >> 8] : [text.length & 255, text.length >> 8, 0, 0];
  return Uint8Array.of(0x93, ...new TextEncoder().encode("NUMPY"), version, 0, ...length, ...text, ...data);
}

function bytesOfNumbers(values: readonly number[], little: boolean): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  values.forEach((value, index) => {
    new DataView(bytes.buffer).setFloat32(4 * index, value, little);
  });
  return bytes;
}

describe("idx", () => {
  it("reads bytes, and big-endian integers and floats", () => {
    expect(parseIdx(idxBytes(8, [2, 2], [1, 2, 3, 255]), "f")).toEqual({
      type: "uint8",
      dims: [2, 2],
      data: Uint8Array.of(1, 2, 3, 255),
    });
    expect(parseIdx(idxBytes(0x0c, [2], [0, 0, 1, 0, 255, 255, 255, 255]), "f").data).toEqual(Int32Array.of(256, -1));
    expect(parseIdx(idxBytes(0x0d, [1], [...bytesOfNumbers([1.5], false)]), "f").data).toEqual(Float32Array.of(1.5));
  });

  it("joins images and labels, gzipped or not", async () => {
    const images = idxBytes(8, [2, 2, 3], range(12));
    const labels = idxBytes(8, [2], [7, 3]);
    for (const pack of [(bytes: Uint8Array) => bytes, (bytes: Uint8Array) => gzipSync(bytes)]) {
      const set = await idx("tiny", bytesSource(pack(images), "images"), bytesSource(pack(labels), "labels"));
      const batch = await set.gather(Uint32Array.of(1));
      expect(batch.image).toEqual({ type: "uint8", dims: [1, 1, 2, 3], data: Uint8Array.of(6, 7, 8, 9, 10, 11) });
      expect(batch.label).toEqual({ type: "int64", dims: [1], data: BigInt64Array.of(3n) });
    }
  });

  it("rejects other files, truncated files, and different numbers of samples", async () => {
    expect(() => parseIdx(Uint8Array.of(1, 2, 3, 4), "f")).toThrow("f is not an idx file: it starts with 01 02 03 04.");
    expect(() => parseIdx(new Uint8Array(0), "f")).toThrow("starts with nothing");
    expect(() => parseIdx(idxBytes(8, [3], [1, 2]), "f")).toThrow("uint8[3] takes 3 bytes, the file has 2");
    const images = bytesSource(idxBytes(8, [2, 1, 1], [1, 2]), "images");
    const labels = bytesSource(idxBytes(8, [3], [1, 2, 3]), "labels");
    await expect(idx("tiny", images, labels)).rejects.toThrow('"label" has 3 samples, "image" has 2');
    const cut = bytesSource(gzipSync(idxBytes(8, [2], [1, 2])).subarray(0, 20), "labels");
    await expect(idx("tiny", images, cut)).rejects.toMatchObject({ code: "E_DATA" });
  });
});

describe("class names of csv and jsonl", () => {
  const text = "x,label\n1,pos\n2,neg\n";

  it.each([
    ["in sorted order", {}, ["neg", "pos"]],
    ["in the model's order", { classes: ["pos", "neg"] }, ["pos", "neg"]],
  ])("lists classes %s", (_, options, expected) => {
    expect(csv("a.csv", text, options).classes).toEqual(expected);
    const lines = '{"x": 1, "label": "pos"}\n{"x": 2, "label": "neg"}\n';
    expect(jsonl("a.jsonl", lines, options).classes).toEqual(expected);
  });

  it("lists no classes if labels are numbers", () => {
    expect(csv("a.csv", "x,label\n1,0\n2,1\n").classes).toBeUndefined();
    expect(jsonl("a.jsonl", '{"x": 1, "label": 0}\n').classes).toBeUndefined();
  });
});

describe("cifar", () => {
  const record = (label: readonly number[], value: number): number[] => [
    ...label,
    ...new Array<number>(3072).fill(value),
  ];

  it("reads records of several files, with the fine label of CIFAR-100", async () => {
    const files = [
      bytesSource(Uint8Array.from([...record([3], 1), ...record([9], 2)]), "a"),
      bytesSource(gzipSync(Uint8Array.from(record([4], 5))), "b"),
    ];
    const batch = await (await cifar("c", files, 1)).gather(Uint32Array.of(0, 1, 2));
    expect(batch.image?.dims).toEqual([3, 3, 32, 32]);
    expect([0, 3071, 3072, 6144].map((at) => (batch.image as Dense<"uint8">).data[at])).toEqual([1, 1, 2, 5]);
    expect(batch.label?.data).toEqual(BigInt64Array.of(3n, 9n, 4n));
    const hundred = await cifar("c", [bytesSource(Uint8Array.from(record([1, 77], 1)), "a")], 2);
    expect((await hundred.gather(Uint32Array.of(0))).label?.data).toEqual(BigInt64Array.of(77n));
  });

  it("rejects an empty file, and a file with a partial record", async () => {
    await expect(cifar("c", [bytesSource(new Uint8Array(3072), "bad.bin")], 1)).rejects.toThrow(
      "bad.bin: 3072 bytes are not a whole number",
    );
    await expect(cifar("c", [bytesSource(new Uint8Array(0), "empty.bin")], 1)).rejects.toMatchObject({
      code: "E_DATA",
    });
  });
});

describe("npy", () => {
  const header = (type: string, shape: string, order = "False"): string =>
    `{'descr': '${type}', 'fortran_order': ${order}, 'shape': (${shape}), }   \n`;

  it("reads both byte orders, header versions 1 and 2, and scalars", () => {
    const expected = { type: "float32", dims: [3], data: Float32Array.of(1, -2, 0.5) };
    expect(parseNpy(npyBytes(header("<f4", "3,"), bytesOfNumbers([1, -2, 0.5], true)), "f")).toEqual(expected);
    expect(parseNpy(npyBytes(header(">f4", "3,"), bytesOfNumbers([1, -2, 0.5], false)), "f")).toEqual(expected);
    expect(parseNpy(npyBytes(header("<f4", "3,"), bytesOfNumbers([1, -2, 0.5], true), 2), "f")).toEqual(expected);
    expect(parseNpy(npyBytes(header("<f4", ""), bytesOfNumbers([4], true)), "f").dims).toEqual([]);
    expect(parseNpy(npyBytes(header("|b1", "2,"), Uint8Array.of(1, 0)), "f").type).toBe("bool");
  });

  it("converts arrays from Fortran order to C order", () => {
    // a[i][j][k] = 100 i + 10 j + k with dims 2×3×2, stored with i fastest.
    const stored = range(2).flatMap((k) => range(3).flatMap((j) => range(2).map((i) => 100 * i + 10 * j + k)));
    const expected = range(2).flatMap((i) => range(3).flatMap((j) => range(2).map((k) => 100 * i + 10 * j + k)));
    expect(
      Array.from(parseNpy(npyBytes(header("|u1", "2, 3, 2", "True"), Uint8Array.from(stored)), "f").data as Uint8Array),
    ).toEqual(expected);
  });

  it("rejects objects, strings, truncated data, and other formats", () => {
    expect(() => parseNpy(npyBytes(header("|O", "1,"), new Uint8Array(8)), "f")).toThrow(
      "not that of an array of numbers",
    );
    expect(() => parseNpy(npyBytes(header("<U4", "1,"), new Uint8Array(16)), "f")).toThrow(
      "not that of an array of numbers",
    );
    expect(() => parseNpy(npyBytes(header("<f4", "3,"), new Uint8Array(8)), "f")).toThrow(
      "float32[3] takes 12 bytes, the file has 8",
    );
    expect(() => parseNpy(new Uint8Array(20), "f")).toThrow("not a .npy file");
  });

  it("reads the arrays of a .npz by name", async () => {
    const file = zipSync({
      "x.npy": npyBytes(header("<f4", "1,"), bytesOfNumbers([2], true)),
      "y.npy": npyBytes(header("|u1", "1,"), Uint8Array.of(9)),
    });
    const { x, y, ...others } = await npzColumns(bytesSource(file, "f"));
    expect((await x?.rows(Uint32Array.of(0)))?.data[0]).toBe(2);
    expect((await y?.rows(Uint32Array.of(0)))?.data[0]).toBe(9);
    expect(others).toEqual({});
  });

  it("reads the .npz files that npzBytes writes reproducibly, with empty arrays and scalars", async () => {
    const arrays: Readonly<Record<string, Dense>> = {
      "past.0.key": { type: "float32", dims: [2, 1, 0, 4], data: new Float32Array() },
      ids: { type: "int64", dims: [2, 3], data: BigInt64Array.of(1n, -2n, 3n, 4n, 5n, 6n) },
      half: { type: "float16", dims: [2], data: Uint16Array.of(0x3c00, 0xc000) },
      branch: { type: "bool", dims: [1], data: Uint8Array.of(1) },
      one: { type: "int32", dims: [], data: Int32Array.of(7) },
    };
    const file = await npzBytes(arrays);
    const entries = Object.entries(unzipSync(file)).map(([name, bytes]) => [name, parseNpy(bytes, name)]);
    expect(entries).toEqual(Object.entries(arrays).map(([name, dense]) => [`${name}.npy`, dense]));
    const { TZ } = process.env;
    process.env.TZ = "Asia/Tokyo";
    const elsewhere = await npzBytes(arrays);
    if (TZ === undefined) delete process.env.TZ;
    else process.env.TZ = TZ;
    expect(elsewhere).toEqual(file);
    const text = { type: "string", dims: [1], data: ["a"] } as const;
    await expect(npzBytes({ text })).rejects.toThrow("NumPy files cannot store string");
  });
});

describe("csv", () => {
  it("separates the label column, quoted or not, and keeps the order of the others", async () => {
    const batch = await csv("t.csv", 'a,"label",b\r\n1,2,0.5\r\n\r\n"3",0,-4e1\r\n').gather(Uint32Array.of(0, 1));
    expect(batch.features).toEqual({ type: "float32", dims: [2, 2], data: Float32Array.of(1, 0.5, 3, -40) });
    expect(batch.label).toEqual({ type: "int64", dims: [2], data: BigInt64Array.of(2n, 0n) });
  });

  it("reads text columns with or without a header, and numbers classes by name", async () => {
    const pairs = await csv(
      "t.csv",
      'A man, dancing.,"A ""man""\nhere",5.0\nx,y,4.75\n'.replace("man, d", "man d"),
    ).gather(Uint32Array.of(0, 1));
    expect([pairs.text?.data, pairs.text_pair?.data]).toEqual([
      ["A man dancing.", "x"],
      ['A "man"\nhere', "y"],
    ]);
    expect(pairs.label?.data).toEqual(Float64Array.of(5, 4.75));
    const named = "id\tsentence\tlabel\n7\tit's \"5 o'clock\tpos\n8\tfine\tneg\n";
    const sorted = await csv("t.tsv", named).gather(Uint32Array.of(0, 1));
    expect([Object.keys(sorted), sorted.label?.data]).toEqual([["id", "sentence", "label"], BigInt64Array.of(1n, 0n)]);
    const batch = await csv("t.tsv", named, { classes: ["POS", "NEG"] }).gather(Uint32Array.of(0, 1));
    expect([batch.sentence?.data[0], batch.label?.data]).toEqual(["it's \"5 o'clock", BigInt64Array.of(0n, 1n)]);
    expect(() => csv("t.tsv", named, { classes: ["a", "b"] })).toThrow('class "pos" is not one of the 2 classes');
  });

  it("reads tabs, and keeps fractional labels as values", async () => {
    const batch = await csv("t.tsv", "x\ty\n1\t0.25\n2\t1\n").gather(Uint32Array.of(0, 1));
    expect(batch.label).toEqual({ type: "float64", dims: [2], data: Float64Array.of(0.25, 1) });
  });

  it.each([
    ["a,label\n1,\n", 'line 2, column "label": expected a number, got ""'],
    ["a,label\n1,2\n1,cat\n", 'line 3, column "label": expected a number, got "cat"'],
    ["a,1,2,label\n1,2,3,4\n", "numbers beside text in 4 columns"],
    ["text,label\nhello,1\na,b,2\n", "line 3: expected 2 fields, got 3"],
    ["a,label\n1,2,3\n", "line 2: expected 2 fields, got 3"],
    ["1,2\n3,4\n", "holds numbers, not the names of the columns"],
    ["a,label\n", "no rows"],
    ["", "no rows"],
    ['a,label\n"1,2\n', "never closed"],
  ])("rejects %j", (text, message) => {
    expect(() => csv("t.csv", text)).toThrow(message);
  });
});

describe("jsonl", () => {
  it("reads numbers, nested arrays and text by key", async () => {
    const text =
      '{"ids": [[1, 2], [3, 4]], "weight": 0.5, "text": "a", "label": 1}\n\n{"ids": [[5, 6], [7, 8]], "weight": 2, "text": "b", "label": 0}\n';
    const batch = await jsonl("t.jsonl", text).gather(Uint32Array.of(0, 1));
    expect(batch.ids).toEqual({
      type: "int64",
      dims: [2, 2, 2],
      data: BigInt64Array.from([1, 2, 3, 4, 5, 6, 7, 8], BigInt),
    });
    expect(batch.weight).toEqual({ type: "float32", dims: [2], data: Float32Array.of(0.5, 2) });
    expect(batch.text?.data).toEqual(["a", "b"]);
    expect(batch.label?.data).toEqual(BigInt64Array.of(1n, 0n));
  });

  it.each([
    ['{"x": 1}\n{"y": 1}', 'line 2, "x"'],
    ['{"x": [1, 2]}\n{"x": [1]}', 'line 2, "x": expected the dimensions [2] of the first line, got [1]'],
    ['{"x": [[1], [2, 3]]}', "rows of an array differ"],
    ['{"x": 1}\n{"x": "a"}', 't.jsonl, line 2, "x": some values are text'],
    ['{"x": 1}\n{"x": 2, "y": 3}', 't.jsonl, line 2: the first line has no "y"'],
    ["[1]", "expected an object"],
    ["{", "line 1: not JSON"],
    ["", "no lines"],
  ])("rejects %j", (text, message) => {
    expect(() => jsonl("t.jsonl", text)).toThrow(PithError);
    expect(() => jsonl("t.jsonl", text)).toThrow(message);
  });
});
