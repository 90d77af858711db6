/** Tests commands that change a model of a transformers.js folder and write a folder of the same form. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { copySidecars } from "../../../src/app/folder/originals.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { filesOf, given, texts, twoLayers } from "./model-folders.ts";
import { half, result } from "./passed-folder.ts";
import { pith } from "./run.ts";

const root = temporaryFolder();

const folderCalled = (name: string): Promise<string> =>
  given(root, name, twoLayers, "config.json", "tokenizer.json", "LICENSE", "notes.txt");

describe("prune of a folder", () => {
  test("writes the named folder with the files that transformers.js reads besides the model", async () => {
    const [folder, out] = [await folderCalled("named"), join(root, "named.out")];
    const before = await filesOf(folder);
    expect(await pith("prune", folder, ...half, "-o", `${out}/`)).toMatchObject({ code: 0 });
    expect(await filesOf(out)).toEqual(result);
    expect(await filesOf(folder)).toEqual(before);
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
  await copySidecars(folder, out, join("onnx", "model.onnx"), { log: ({ text }) => messages.push(text) });
  expect(JSON.parse(await readFile(join(out, "config.json"), "utf8"))).toEqual({ num_hidden_layers: after });
  expect(messages).toHaveLength(before === after ? 0 : 1);
  // A later result with another number of layers overwrites config.json, unless an author changed it.
  await given(root, `fewer ${before}`, cached(1));
  await copySidecars(folder, out, join("onnx", "model.onnx"), { log: () => {} });
  const again = JSON.parse(await readFile(join(out, "config.json"), "utf8"));
  expect(again).toEqual({ num_hidden_layers: before === after ? before : 1 });
  await writeFile(join(out, "config.json"), JSON.stringify({ ...again, mine: true }));
  await copySidecars(folder, out, join("onnx", "model.onnx"), { log: ({ text }) => messages.push(text) });
  expect(messages.at(-1)).toMatch(/config\.json stays as it is/);
});

test("simplify of a folder writes a folder", async () => {
  const folder = await folderCalled("simple");
  expect(await pith("simplify", folder)).toMatchObject({ code: 0 });
  expect(await filesOf(`${folder}.simplified`)).toEqual(result);
});

describe("results of Pith next to an original", () => {
  test("are not used as originals of variants", async () => {
    const folder = await folderCalled("variants");
    const { rename } = await import("node:fs/promises");
    await rename(join(folder, "onnx", "model.onnx"), join(folder, "onnx", "model.pruned.onnx"));
    const result = await pith("quantize", folder, "--dtype", "q8");
    expect(result).toMatchObject({ code: 1, err: expect.stringMatching(/only variants \(model\.pruned\.onnx\)/) });
  });
});
