/** More folders of transformers.js as inputs and outputs of passes. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { filesOf, given, twoLayers } from "./model-folders.ts";
import { half, result } from "./passed-folder.ts";
import { pith } from "./run.ts";

const root = temporaryFolder();

const folderCalled = (name: string): Promise<string> =>
  given(root, name, twoLayers, "config.json", "tokenizer.json", "LICENSE", "notes.txt");

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

describe("prune of a folder", () => {
  test("writes a folder next to the original without -o", async () => {
    const folder = await folderCalled("beside");
    expect(await pith("prune", folder, ...half)).toMatchObject({ code: 0 });
    expect(await filesOf(`${folder}.pruned`)).toEqual(result);
    expect(await filesOf(join(folder, "onnx"))).toEqual(["model.onnx"]);
  });

  test("copies other models, and removes missing variants from config.json", async () => {
    const [folder, out] = [await folderCalled("modules"), join(root, "modules.out")];
    const other = parseModel("graph (x: float32[2]) -> (y: float32[2]) {\n  y = Relu(x)\n}");
    await save(other, join(folder, "onnx", "encoder_model.onnx"));
    await save(other, join(folder, "onnx", "model_q4.onnx"));
    await writeFile(join(folder, "config.json"), '{"transformers.js_config": {"dtype": "q4", "kv_cache_dtype": "x"}}');
    await pith("prune", folder, ...half, "-o", out);
    expect(await filesOf(join(out, "onnx"))).toEqual(["encoder_model.onnx", "model.onnx"]);
    const config = JSON.parse(await readFile(join(out, "config.json"), "utf8"));
    expect(config).toEqual({
      "transformers.js_config": { dtype: { model: "fp32", encoder_model: "fp32" }, kv_cache_dtype: "x" },
    });
  });
});

describe("distill with a folder as teacher", () => {
  const loaded = (name: string) => given(root, name, twoLayers, "config.json", "LICENSE");
  const copied = ["LICENSE", "config.json", "onnx", join("onnx", "model.onnx")];
  const training = ["--shrink", "50%", "--data", "random", "--samples", "40", "--epochs", "1", "--force"];

  test("writes a folder if the folder is named by --teacher alone", async () => {
    const [folder, out] = [await loaded("teacher alone"), join(root, "out")];
    expect(await pith("distill", "--teacher", folder, ...training, "-o", `${out}/`)).toMatchObject({ code: 0 });
    expect(await filesOf(out)).toEqual(copied);
  });
});

describe("a model named by its file in a folder", () => {
  test("gives a folder of the same form if at the top of its folder", async () => {
    const [folder, out] = [join(root, "flat"), join(root, "flat.out")];
    await mkdir(folder);
    await save(parseModel(twoLayers), join(folder, "model.onnx"));
    for (const name of ["config.json", "tokenizer.json", "notes.txt"]) await writeFile(join(folder, name), "{}");
    expect(await pith("prune", folder, ...half, "-o", out)).toMatchObject({ code: 0 });
    expect(await filesOf(out)).toEqual(["config.json", "model.onnx", "tokenizer.json"]);
  });
});
