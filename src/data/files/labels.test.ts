import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { toFloat64 } from "../../core/tensor/convert.ts";
import { symbol } from "../../core/tensor/dims.ts";
import type { Batch } from "../../core/tensor/types.ts";
import type { ModelInput } from "../batches/bind.ts";
import { csv, type Dataset, jsonl, openDataset } from "../index.ts";
import { moduleSource } from "../sources/module.ts";
import { readPart } from "../sources/source.ts";

const root = temporaryFolder();

const input = (name: string, ...sample: number[]): ModelInput => ({
  name,
  type: { type: "float32", dims: [symbol("batch"), ...sample] },
});

async function whole(dataset: Dataset): Promise<Readonly<Record<string, readonly number[]>>> {
  for await (const batch of dataset.batches({ size: 100 }))
    return Object.fromEntries(Object.entries(batch).map(([name, dense]) => [name, Array.from(toFloat64(dense))]));
  return {};
}

const table = "x,y\n1,0\n2,1\n3,1\n";

describe("columns named like a label", () => {
  test("uses a table's column as the label unless the model has such an input", async () => {
    expect(await whole(csv("points", table))).toEqual({ features: [1, 2, 3], label: [0, 1, 1] });
    expect(await whole(csv("points", table, { inputs: [input("features", 1)] }))).toHaveProperty("label");
    const inputs = [input("x", 1), input("y", 1)];
    expect(await whole(csv("points", table, { inputs }))).toEqual({ x: [1, 2, 3], y: [0, 1, 1] });
  });

  test("feeds a column to its input if another column is the label", async () => {
    const text = "a,score,b,target\n1,0.5,2,0\n3,0.25,4,1\n";
    const inputs = [input("features", 2), input("score", 1)];
    expect(await whole(csv("rows", text, { inputs }))).toEqual({
      features: [1, 2, 3, 4],
      score: [0.5, 0.25],
      label: [0, 1],
    });
  });

  test("uses a column as the label if its input takes several values per sample", async () => {
    const text = "a,b,y\n1,2,0\n3,4,1\n";
    const features = { features: [1, 2, 3, 4], label: [0, 1] };
    expect(await whole(csv("rows", text, { inputs: [input("y", 2)] }))).toEqual(features);
    expect(await whole(csv("rows", text, { inputs: [{ name: "y", type: undefined }] }))).toEqual(features);
  });

  test("uses a JSON lines key as the label unless the model has such an input", async () => {
    const text = '{"x": 1, "class": 4}\n{"x": 2, "class": 5}\n';
    expect(await whole(jsonl("lines", text))).toEqual({ x: [1, 2], label: [4, 5] });
    const inputs = [input("x", 1), input("class", 1)];
    expect(await whole(jsonl("lines", text, { inputs }))).toEqual({ x: [1, 2], class: [4, 5] });
  });

  test("uses an array as the label unless the model has such an input", async () => {
    const path = join(root, "arrays.npz");
    await writeFile(path, zipSync({ "x.npy": npy([7, 8]), "y.npy": npy([0, 1]) }));
    expect(await whole(await openDataset(path))).toEqual({ x: [7, 8], label: [0, 1] });
    const inputs = [input("x"), input("y")];
    expect(await whole(await openDataset(path, { inputs }))).toEqual({ x: [7, 8], y: [0, 1] });
  });

  test("uses a module's column as the label unless the model has such an input", async () => {
    const column = (...values: number[]) => ({
      type: "float32" as const,
      dims: [values.length],
      data: Float32Array.from(values),
    });
    const batch: Batch = { x: column(7, 8), target: column(0, 1) };
    const exports = { default: () => [batch] };
    expect(await whole(await readPart(moduleSource("own", exports), undefined))).toEqual({ x: [7, 8], label: [0, 1] });
    const dataset = await readPart(moduleSource("own", exports, [input("x"), input("target")]), undefined);
    expect(await whole(dataset)).toEqual({ x: [7, 8], target: [0, 1] });
  });

  test('rejects a label column if the model has an input named "label"', async () => {
    const inputs = [input("x", 1), input("label", 1)];
    expect(await whole(csv("rows", "x,label\n1,0\n2,1\n", { inputs }))).toEqual({ x: [1, 2], label: [0, 1] });
    expect(() => csv("rows", "x,label,y\n1,0,3\n2,1,4\n", { inputs })).toThrow(
      'rows: "label" is an input of the model, and "y" cannot be the label under the same name.',
    );
  });
});

function npy(values: readonly number[]): Uint8Array {
  const header = new TextEncoder().encode(`{'descr': '|u1', 'fortran_order': False, 'shape': (${values.length},), }\n`);
  return Uint8Array.of(0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, header.length, 0, ...header, ...values);
}

describe("columns with the same name", () => {
  test("rejects them with their positions in tables of texts, numbers and images", async () => {
    const twice = 't.csv: the columns 1 and 3 are both called "label".';
    expect(() => csv("t.csv", "label,text,label\n1,good,0\n")).toThrow(twice);
    expect(() => csv("t.csv", "Label,text, LABEL \n1,good,0\n")).toThrow(twice);
    expect(() => csv("t.csv", "a,a,y\n1,2,0\n")).toThrow('the columns 1 and 2 are both called "a"');
    await writeFile(join(root, "labels.csv"), "file,label,label\na.png,1,0\n");
    await writeFile(join(root, "a.png"), "");
    await expect(openDataset(root)).rejects.toThrow('the columns 2 and 3 are both called "label"');
  });

  test("accepts names that differ in case, unless both mean the label", () => {
    expect(() => csv("t.csv", "a,A,y\n1,2,0\n")).not.toThrow();
    expect(() => csv("t.csv", "label,target\n1,2\n")).not.toThrow();
  });
});
