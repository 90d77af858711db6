/** More folders of transformers.js as inputs and outputs of passes. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { temporaryFolder } from "../temporary.ts";
import { filesOf, given, twoLayers } from "./model-folders.ts";
import { pith } from "./run.ts";

const root = temporaryFolder();

const folderCalled = (name: string): Promise<string> =>
  given(root, name, twoLayers, "config.json", "tokenizer.json", "LICENSE", "notes.txt");

const half = ["--structured", "50%", "--force"];

describe("prune of a folder", () => {
  test("overwrites an earlier result, but not a file that an author changed", async () => {
    const [folder, out] = [await folderCalled("again"), join(root, "again.out")];
    await pith("prune", folder, ...half, "-o", out);
    const first = await readFile(join(out, "onnx", "model.onnx"));
    await writeFile(join(out, "tokenizer.json"), '{"mine": 1}');
    const again = await pith("prune", folder, "--structured", "25%", "--force", "-o", out);
    expect(again.out).toMatch(/model\.onnx \(replaced\)/);
    expect(again.err).toMatch(/tokenizer\.json stays as it is/);
    expect(await readFile(join(out, "tokenizer.json"), "utf8")).toBe('{"mine": 1}');
    expect((await readFile(join(out, "onnx", "model.onnx"))).length).toBeGreaterThan(first.length);
  });
});

describe("distill with a folder as teacher", () => {
  const loaded = (name: string) => given(root, name, twoLayers, "config.json", "LICENSE");
  const copied = ["LICENSE", "config.json", "onnx", join("onnx", "model.onnx")];
  const training = ["--shrink", "50%", "--data", "random", "--samples", "40", "--epochs", "1", "--force"];

  test("copies the files of the teacher's folder for a student from a file", async () => {
    const [folder, out, student] = [await loaded("teacher"), join(root, "taught"), join(root, "student.onnx")];
    await save(parseModel(twoLayers), student);
    const line = ["distill", student, "--teacher", folder, ...training, "-o"];
    expect(await pith(...line, `${out}/`)).toMatchObject({ code: 0 });
    expect(await filesOf(out)).toEqual(copied);
    expect(await pith(...line, join(root, "taught.onnx"))).toMatchObject({ code: 0 });
  });
});
