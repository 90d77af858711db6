/** Tests commands that change a model of a transformers.js folder and write a folder of the same form. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { copyBeside } from "../../src/app/folder/originals.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { folderOf, plain, written } from "../folder/small-vocabulary.ts";
import { temporaryFolder } from "../temporary.ts";
import { filesOf, given, texts, twoLayers } from "./model-folders.ts";
import { pith } from "./run.ts";

const root = temporaryFolder();

const folderCalled = (name: string): Promise<string> =>
  given(root, name, twoLayers, "config.json", "tokenizer.json", "LICENSE", "notes.txt");

const result = ["LICENSE", "config.json", "onnx", join("onnx", "model.onnx"), "tokenizer.json"];
const half = ["--structured", "50%", "--force"];

describe("prune of a folder", () => {
  test("writes the named folder with the files that transformers.js reads besides the model", async () => {
    const [folder, out] = [await folderCalled("named"), join(root, "named.out")];
    const before = await filesOf(folder);
    expect(await pith("prune", folder, ...half, "-o", `${out}/`)).toMatchObject({ code: 0 });
    expect(await filesOf(out)).toEqual(result);
    expect(await filesOf(folder)).toEqual(before);
  });

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

  test("writes nothing if nothing changes, and with --dry-run", async () => {
    const folder = await folderCalled("idle");
    for (const flags of [
      ["--amount", "0"],
      [...half, "--dry-run"],
    ])
      await pith("prune", folder, ...flags);
    expect((await readdir(root)).filter((name) => name.startsWith("idle"))).toEqual(["idle"]);
  });

  test("rejects its own folder as output, and writes a file if -o names one", async () => {
    const folder = await folderCalled("places");
    const itself = await pith("prune", folder, ...half, "-o", folder);
    expect(itself).toMatchObject({ code: 2, err: expect.stringMatching(/is the model itself/) });
    const inside = await pith("prune", folder, ...half, "-o", join(folder, "thin"));
    expect(inside).toMatchObject({ code: 2, err: expect.stringMatching(/is inside/) });
    const file = join(root, "thin.onnx");
    expect(await pith("prune", folder, ...half, "-o", file)).toMatchObject({ code: 0 });
    expect(await readdir(root)).toContain("thin.onnx");
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
  test("is written as a folder if -o names one, else as a file", async () => {
    const [folder, out] = [await folderCalled("inside"), join(root, "inside.out")];
    const model = join(folder, "onnx", "model.onnx");
    expect(await pith("simplify", model, "-o", `${out}/`)).toMatchObject({ code: 0 });
    expect(await filesOf(out)).toEqual(result);
    expect(await pith("prune", model, ...half, "-o", join(root, "inside.onnx"))).toMatchObject({ code: 0 });
    const alone = join(root, "alone.onnx");
    await save(parseModel(twoLayers), alone);
    expect(await pith("prune", alone, ...half, "-o", `${join(root, "none")}/`)).toMatchObject({
      code: 1,
      err: expect.stringContaining("that is the name of a folder, not of a file"),
    });
  });

  test("gives a folder of the same form if at the top of its folder", async () => {
    const [folder, out] = [join(root, "flat"), join(root, "flat.out")];
    await mkdir(folder);
    await save(parseModel(twoLayers), join(folder, "model.onnx"));
    for (const name of ["config.json", "tokenizer.json", "notes.txt"]) await writeFile(join(folder, name), "{}");
    expect(await pith("prune", folder, ...half, "-o", out)).toMatchObject({ code: 0 });
    expect(await filesOf(out)).toEqual(["config.json", "model.onnx", "tokenizer.json"]);
  });
});

test("names files that a result outside of its folder lacks, also in later commands", async () => {
  const folder = await given(root, "left", texts, "config.json", "tokenizer.json");
  const out = join(root, "left alone.onnx");
  const result = await pith("simplify", folder, "-o", out);
  expect(result.err).toContain(
    `not copied to the result: ${join(folder, "config.json")}, ${join(folder, "tokenizer.json")}`,
  );
  await writeFile(join(root, "texts.csv"), "text,label\ngood,1\nbad,0\n");
  expect(await pith("eval", out, "--data", join(root, "texts.csv"))).toMatchObject({
    code: 1,
    err: expect.stringContaining(
      `Copy the files of the original to the folder of the model: ${join("left", "config.json")}, ${join("left", "tokenizer.json")}.`,
    ),
  });
});

/** Layers that add their cache to their input. */
const cached = (layers: number): string => {
  const all = Array.from({ length: layers }, (_, at) => at);
  const past = all.map((at) => `past_key_values.${at}.key: float32[n, 4]`).join(", ");
  const nodes = all.map((at) => `  h${at + 1} = Add(h${at}, past_key_values.${at}.key)`).join("\n");
  return `opset 18\ngraph (h0: float32[n, 4], ${past}) -> (h${layers}) {\n${nodes}\n}`;
};

test.each([
  [3, 2],
  // This number belongs to another model.
  [12, 12],
])("changes num_hidden_layers %i in config.json to %i if one of three layers is removed", async (before, after) => {
  const [folder, out] = [await given(root, `layers ${before}`, cached(3)), join(root, `fewer ${before}`)];
  await writeFile(join(folder, "config.json"), JSON.stringify({ num_hidden_layers: before }));
  await given(root, `fewer ${before}`, cached(2));
  const messages: string[] = [];
  await copyBeside(folder, out, join("onnx", "model.onnx"), { log: ({ text }) => messages.push(text) });
  expect(JSON.parse(await readFile(join(out, "config.json"), "utf8"))).toEqual({ num_hidden_layers: after });
  expect(messages).toHaveLength(before === after ? 0 : 1);
  // A later result with another number of layers overwrites config.json, unless an author changed it.
  await given(root, `fewer ${before}`, cached(1));
  await copyBeside(folder, out, join("onnx", "model.onnx"), { log: () => {} });
  const again = JSON.parse(await readFile(join(out, "config.json"), "utf8"));
  expect(again).toEqual({ num_hidden_layers: before === after ? before : 1 });
  await writeFile(join(out, "config.json"), JSON.stringify({ ...again, mine: true }));
  await copyBeside(folder, out, join("onnx", "model.onnx"), { log: ({ text }) => messages.push(text) });
  expect(messages.at(-1)).toMatch(/config\.json stays as it is/);
});

test("simplify of a folder writes a folder", async () => {
  const folder = await folderCalled("simple");
  expect(await pith("simplify", folder)).toMatchObject({ code: 0 });
  expect(await filesOf(`${folder}.simplified`)).toEqual(result);
});

describe("results of Pith next to an original", () => {
  test("are not trimmed by --vocabulary", async () => {
    const [folder, out] = [await folderOf("results", plain), join(root, "results.out")];
    await mkdir(join(folder, "onnx"), { recursive: true });
    for (const name of ["model.pruned.onnx", "model.pruned.recovered.onnx"])
      await writeFile(join(folder, "onnx", name), await readFile(join(folder, "onnx", "model.onnx")));
    expect(await pith("prune", folder, "--vocabulary", await written(), "-o", out)).toMatchObject({ code: 0 });
    expect(await readdir(join(out, "onnx"))).toEqual(["model.onnx"]);
  });

  test("are not used as originals of variants", async () => {
    const folder = await folderCalled("variants");
    const { rename } = await import("node:fs/promises");
    await rename(join(folder, "onnx", "model.onnx"), join(folder, "onnx", "model.pruned.onnx"));
    const result = await pith("quantize", folder, "--dtype", "q8");
    expect(result).toMatchObject({ code: 1, err: expect.stringMatching(/only variants \(model\.pruned\.onnx\)/) });
  });
});
