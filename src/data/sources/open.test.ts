import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync, zipSync } from "fflate";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { collect } from "../batches/select.ts";
import { type Dataset, openDataset } from "../index.ts";
import { openParts } from "./parts.ts";

const root = temporaryFolder();

async function folder(name: string, files: Readonly<Record<string, Uint8Array | string>>): Promise<string> {
  const path = join(root, name);
  await mkdir(path, { recursive: true });
  for (const [file, content] of Object.entries(files)) await writeFile(join(path, file), content);
  return path;
}

async function whole(dataset: Dataset): Promise<Batch> {
  for await (const batch of dataset.batches({ size: 1000 })) return batch;
  return {};
}

function labels(batch: Batch): number[] {
  return Array.from((batch.label as Dense<"int64">).data, Number);
}

const images = (count: number): Uint8Array =>
  Uint8Array.of(0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 1, 0, 0, 0, 1, ...new Array<number>(count).fill(9));
const classes = (...values: number[]): Uint8Array => Uint8Array.of(0, 0, 8, 1, 0, 0, 0, values.length, ...values);
const record = (label: number): number[] => [label, ...new Array<number>(3072).fill(label)];

function npy(values: readonly number[], dims: string): Uint8Array {
  const header = new TextEncoder().encode(`{'descr': '|u1', 'fortran_order': False, 'shape': (${dims}), }\n`);
  return Uint8Array.of(0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, header.length, 0, ...header, ...values);
}

describe("openDataset", () => {
  it("reads the test split of a folder of idx files by default", async () => {
    const path = await folder("mnist", {
      "train-images-idx3-ubyte": images(3),
      "train-labels-idx1-ubyte": classes(1, 2, 3),
      "t10k-images.idx3-ubyte.gz": gzipSync(images(2)),
      "t10k-labels.idx1-ubyte.gz": gzipSync(classes(8, 9)),
    });
    expect(labels(await whole(await openDataset(path)))).toEqual([8, 9]);
    expect(labels(await whole(await openDataset(path, { part: "train" })))).toEqual([1, 2, 3]);
    expect(labels(await whole(await openDataset(join(path, "train-images-idx3-ubyte"))))).toEqual([1, 2, 3]);
    const test = join(path, "t10k-images.idx3-ubyte.gz");
    expect(labels(await whole(await openDataset(test)))).toEqual([8, 9]);
    await expect(openDataset(test, { part: "train" })).rejects.toThrow("has no train part, only test");
  });

  it("rejects sound for a model that takes features of sound, and asks for frames otherwise", async () => {
    const path = await folder("sound", { "a.wav": "" });
    const inputs = (...dims: number[]) => [{ name: "input", type: { type: "float32" as const, dims } }];
    await expect(openDataset(join(path, "a.wav"), { inputs: inputs(1, 1, 49, 10) })).rejects.toThrow(
      'input "input" takes features of sound, with dimensions [1, 1, 49, 10]',
    );
    for (const dims of [
      [1, 512],
      [1, 1, 512],
    ])
      await expect(openDataset(join(path, "a.wav"), { inputs: inputs(...dims) })).rejects.toThrow(
        "the frame length of the model is unknown",
      );
  });

  it("rejects a missing split, missing labels, and two datasets in one folder", async () => {
    const path = await folder("only-test", {
      "t10k-images-idx3-ubyte": images(1),
      "t10k-labels-idx1-ubyte": classes(8),
    });
    await expect(openDataset(path, { part: "train" })).rejects.toThrow("has no train part, only test");
    const unlabelled = await folder("unlabelled", { "t10k-images-idx3-ubyte": images(1) });
    await expect(openDataset(unlabelled)).rejects.toThrow("has no idx file of labels");
    const two = await folder("two", { "a-test-images-idx3-ubyte": images(1), "b-test-images-idx3-ubyte": images(1) });
    await expect(openDataset(two)).rejects.toThrow("several sets");
  });

  it("reads CIFAR files by split, with all training files joined", async () => {
    const path = await folder("cifar", {
      "data_batch_1.bin": Uint8Array.from([...record(1), ...record(2)]),
      "data_batch_2.bin.gz": gzipSync(Uint8Array.from(record(3))),
      "test_batch.bin": Uint8Array.from(record(4)),
      "readme.html": "",
    });
    expect(labels(await whole(await openDataset(path, { part: "train" })))).toEqual([1, 2, 3]);
    expect(labels(await whole(await openDataset(path)))).toEqual([4]);
    expect(labels(await whole(await openDataset(join(path, "data_batch_1.bin"))))).toEqual([1, 2]);
    await expect(openDataset(join(path, "data_batch_1.bin"), { part: "test" })).rejects.toThrow("has no test part");
  });

  it("reads the splits of a .npz, or splits it into disjoint parts", async () => {
    const keras = zipSync({
      "x_train.npy": npy([1, 2], "2, 1"),
      "y_train.npy": npy([0, 1], "2,"),
      "x_test.npy": npy([3], "1, 1"),
      "y_test.npy": npy([7], "1,"),
    });
    const plain = zipSync({
      "pixels.npy": npy(
        Array.from({ length: 50 }, (_, index) => index),
        "50, 1",
      ),
      "labels.npy": npy(
        Array.from({ length: 50 }, (_, index) => index),
        "50, 1",
      ),
    });
    const path = await folder("npz", { "keras.npz": keras, "plain.npz": plain });
    const test = await whole(await openDataset(join(path, "keras.npz")));
    expect([Object.keys(test), labels(test)]).toEqual([["x", "label"], [7]]);
    const file = join(path, "plain.npz");
    expect((await openDataset(file)).count).toBe(50);
    const parts = await Promise.all(
      (["train", "test"] as const).map(async (part) => labels(await whole(await openDataset(file, { part })))),
    );
    expect(parts.map((part) => part.length)).toEqual([40, 10]);
    expect(parts.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index));
  });

  it("sets batches of different lengths aside, each with its length", async () => {
    const ids = (rows: number, length: number) => Array.from({ length: rows }, (_, row) => new Array(length).fill(row));
    const batches = "export function* test() { for (const ids of BATCHES) yield { ids }; }";
    const path = await folder("lengths", {
      "a.mjs": batches.replace("BATCHES", JSON.stringify([ids(2, 3), ids(4, 5), ids(1, 2), ids(3, 3)])),
    });
    const { calibrate, test } = await openParts(join(path, "a.mjs"), { calibrate: 5 });
    const dimsOf = async (dataset: Dataset | undefined): Promise<unknown[]> => {
      const dims: unknown[] = [];
      for await (const batch of dataset?.batches({ size: 2 }) ?? []) dims.push(batch.ids?.dims);
      return dims;
    };
    expect(calibrate?.count).toBe(5);
    expect(await dimsOf(calibrate)).toEqual([
      [2, 3],
      [2, 5],
      [1, 5],
    ]);
    expect(await dimsOf(test)).toEqual([
      [1, 5],
      [1, 2],
      [3, 3],
    ]);
    await expect(collect(await openDataset(join(path, "a.mjs")))).rejects.toThrow("has samples of different sizes");
  });

  it("reads train.csv and test.csv in a folder, a single table, and a gzipped table", async () => {
    const path = await folder("csv", { "train.csv": "a,label\n1,0\n2,1\n", "test.csv": "a,label\n3,1\n" });
    expect(labels(await whole(await openDataset(path, { part: "train" })))).toEqual([0, 1]);
    expect(labels(await whole(await openDataset(path)))).toEqual([1]);
    const single = await folder("single", { "points.jsonl": '{"x": [1, 2], "label": 5}\n', "notes.txt": "" });
    expect(labels(await whole(await openDataset(single)))).toEqual([5]);
    const packed = await folder("packed", { "t.csv.gz": gzipSync(new TextEncoder().encode("a,label\n3,4\n")) });
    expect(labels(await whole(await openDataset(join(packed, "t.csv.gz"))))).toEqual([4]);
  });

  it("imports a module with a generator, named splits, or a dataset", async () => {
    const path = await folder("modules", {
      "generator.mjs": `export default async function* ({ part, size }) {
        for (const label of part === "train" ? [1, 2] : [3]) yield { x: { type: "float32", dims: [1, 1], data: Float32Array.of(size) }, labels: { type: "int32", dims: [1], data: Int32Array.of(label) } };
      }`,
      "parts.mjs": `const one = (label) => function* () { yield { x: { type: "float32", dims: [1], data: Float32Array.of(0) }, label: { type: "int64", dims: [1], data: BigInt64Array.of(label) } }; };
        export const train = one(1n), test = one(2n);`,
      "nothing.mjs": "export const answer = 42;",
      "wrong.mjs": "export default () => 42;",
      "torn.mjs":
        'export default function* () { yield { x: { type: "float32", dims: [2], data: new Float32Array(3) } }; }',
      "broken.mjs": "export default (;",
    });
    const labelsOf = async (dataset: Dataset): Promise<number[]> => {
      const values: number[] = [];
      for await (const batch of dataset.batches({ size: 7 })) values.push(...labels(batch));
      return values;
    };
    const generator = await openDataset(join(path, "generator.mjs"), { part: "train" });
    expect(await labelsOf(generator)).toEqual([1, 2]);
    expect(await labelsOf(generator)).toEqual([1, 2]);
    expect(await labelsOf(await openDataset(join(path, "parts.mjs")))).toEqual([2]);
    expect(await labelsOf(await openDataset(join(path, "parts.mjs"), { part: "train" }))).toEqual([1]);
    await expect(openDataset(join(path, "nothing.mjs"))).rejects.toThrow("exports no data set, only answer");
    await expect(openDataset(join(path, "wrong.mjs"))).rejects.toThrow("yield batches, got 42");
    await expect(whole(await openDataset(join(path, "torn.mjs")))).rejects.toThrow(
      'batch 1, "x": float32[2] takes 2 elements, got 3',
    );
    await expect(openDataset(join(path, "broken.mjs"))).rejects.toMatchObject({ code: "E_DATA" });
  });

  it.each([
    [
      "a value that is not an error",
      "throw { toString() { throw 1; } };",
      "cannot be imported: a value that has no text.",
    ],
    ["a text in a generator", "export function* batches() { throw 'text'; }", "failed: text."],
    ["undefined in a generator", "export function* batches() { throw undefined; }", "failed: undefined."],
    [
      "an object without a prototype",
      "export function batches() { throw Object.create(null); }",
      "failed: a value that has no text.",
    ],
    ["an error in a getter", "export default { name: 'x', get batches() { throw new Error('no.'); } };", "failed: no."],
    [
      "an error in a getter of a column",
      "export function* batches() { yield { get x() { throw new Error('no.'); } }; }",
      "failed: no.",
    ],
    [
      "an error in a dataset",
      "export default { name: 'x', async *batches() { throw new Error('no.'); } };",
      "failed: no.",
    ],
  ])("reports that a module failed if it throws %s", async (what, source, message) => {
    const path = join(await folder(`throwing ${what}`, { "data.mjs": source }), "data.mjs");
    const read = async (): Promise<Batch> => whole(await openDataset(path));
    await expect(read()).rejects.toMatchObject({ code: "E_DATA", message: `${path} ${message}` });
  });

  it.each([
    ["no batches", "export default { name: 'x', count: 5 };", " exports no data set, but { name, count }."],
    ["a class", "export default class {}", " exports no data set, but a class."],
    [
      "batches that are a number",
      "export default { name: 'x', batches: () => 5 };",
      ": its function must return a data set or yield batches, got 5.",
    ],
    [
      "a number for a batch",
      "export default { name: 'x', async *batches() { yield 5; } };",
      ", batch 1: expected named tensors, got 5.",
    ],
  ])("reports the mistake of a module that has %s", async (what, source, message) => {
    const path = join(await folder(`with ${what}`, { "data.mjs": source }), "data.mjs");
    const read = async (): Promise<Batch> => whole(await openDataset(path));
    await expect(read()).rejects.toMatchObject({ code: "E_DATA", message: `${path}${message}` });
  });

  it("reads plain arrays from a module's dataset", async () => {
    const source =
      "export default { name: 'own', count: 2, async *batches() { yield { x: [[1], [2]], label: [0, 1] }; } };";
    const path = join(await folder("own", { "data.mjs": source }), "data.mjs");
    expect(await whole(await openDataset(path))).toEqual({
      x: { type: "float64", dims: [2, 1], data: Float64Array.of(1, 2) },
      label: { type: "int64", dims: [2], data: BigInt64Array.of(0n, 1n) },
    });
  });

  it("reads plain arrays from a module, and rejects values that are not tensors", async () => {
    const path = await folder("arrays", {
      "nested.mjs": "export default function* () { yield { x: [[1, 2], [3, 4]], label: [0, 1], text: ['a', 'b'] }; }",
      "typed.mjs":
        "export default function* () { yield { x: [Float32Array.of(0.5, 2), Float32Array.of(3, 4)], y: new Uint8Array([7, 8]) }; }",
      "ragged.mjs": "export default function* () { yield { x: [[1, 2], [3]] }; }",
      "mixed.mjs": "export default function* () { yield { x: [1, 'a'] }; }",
      "objects.mjs": "export default function* () { yield { x: [{}] }; }",
      "map.mjs": "export default function* () { yield { x: new Map() }; }",
      "rows.mjs": "export default [[1, 2], [3, 4]];",
    });
    const batchOf = async (name: string): Promise<Batch> => whole(await openDataset(join(path, name)));
    expect(await batchOf("nested.mjs")).toEqual({
      x: { type: "float64", dims: [2, 2], data: Float64Array.of(1, 2, 3, 4) },
      label: { type: "int64", dims: [2], data: BigInt64Array.of(0n, 1n) },
      text: { type: "string", dims: [2], data: ["a", "b"] },
    });
    expect(await batchOf("typed.mjs")).toEqual({
      x: { type: "float64", dims: [2, 2], data: Float64Array.of(0.5, 2, 3, 4) },
      label: { type: "int64", dims: [2], data: BigInt64Array.of(7n, 8n) },
    });
    await expect(batchOf("ragged.mjs")).rejects.toThrow('batch 1, "x": the rows of an array differ in length');
    await expect(batchOf("mixed.mjs")).rejects.toThrow("some values are text, some are numbers");
    await expect(batchOf("objects.mjs")).rejects.toThrow("expected numbers or text, got {}");
    await expect(batchOf("map.mjs")).rejects.toThrow("expected a nested array or { type, dims, data }");
    await expect(batchOf("rows.mjs")).rejects.toMatchObject({ hint: expect.stringContaining("memory(name, columns)") });
  });

  it("says how to store arrays whose samples are files of their own", async () => {
    for (const extension of ["npy", "npz"]) {
      const path = await folder(`each-${extension}`, { [`a.${extension}`]: "", [`b.${extension}`]: "" });
      await expect(openDataset(path)).rejects.toMatchObject({
        code: "E_DATA",
        hint: expect.stringMatching(/^Write one file with all samples, .*np\.stack\(samples\).*array\[None\].* module/),
      });
    }
  });

  it("lists accepted formats if nothing is recognized", async () => {
    const path = await folder("odd", { "a.xls": "hello", "b.onnx": "x" });
    await expect(openDataset(path)).rejects.toMatchObject({
      code: "E_DATA",
      message: expect.stringContaining("a.xls, b.onnx"),
      hint: expect.stringContaining(".npz"),
    });
    await expect(openDataset(await folder("empty", {}))).rejects.toThrow("it is empty");
    await expect(openDataset(join(path, "a.xls"))).rejects.toThrow("is not a data set in a known format");
    await expect(openDataset(join(path, "missing"))).rejects.toThrow("There is no data at");
    await expect(openDataset("/dev/null")).rejects.toThrow('"/dev/null" is neither a file nor a folder');
  });
});
