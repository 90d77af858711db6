import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../../test/temporary.ts";
import { open } from "../../../core/onnx/index.ts";
import { findModel, withModelFiles } from "./model-path.ts";

const root = temporaryFolder();

async function folder(name: string, ...files: readonly string[]): Promise<string> {
  const path = join(root, name);
  await mkdir(join(path, "onnx"), { recursive: true });
  for (const file of files) await writeFile(join(path, file), "");
  return path;
}

/** Returns the path that is used for a word, and the notes that are printed. */
async function find(path: string): Promise<[string, readonly string[]]> {
  const notes: string[] = [];
  return [await findModel(path, { note: (_, text) => notes.push(text) }), notes];
}

describe("findModel", () => {
  test("returns the model at the top of a folder or in onnx/, with a note", async () => {
    for (const place of ["model.onnx", join("onnx", "model.onnx")]) {
      const path = await folder(`one ${place.length}`, place, "other.onnx", "config.json");
      expect(await find(path)).toEqual([join(path, place), [`${path} is a folder: its original model is ${place}`]]);
    }
  });

  test("returns the folder if it has two models or none, and opening it lists them", async () => {
    const two = await folder("two", "model.onnx", join("onnx", "model.onnx"));
    const otherNames = await folder("others", "b.onnx", join("onnx", "a.onnx"), join("onnx", "notes.txt"));
    const none = await folder("none", "config.json");
    for (const path of [two, otherNames, none]) expect(await find(path)).toEqual([path, []]);
    await expect(open(two)).rejects.toMatchObject({
      code: "E_FILE",
      hint: `It holds 2 models: model.onnx, ${join("onnx", "model.onnx")}. Name one.`,
    });
    await expect(open(otherNames)).rejects.toMatchObject({
      hint: `It holds 2 models: b.onnx, ${join("onnx", "a.onnx")}. Name one.`,
    });
    await expect(open(none)).rejects.toMatchObject({ code: "E_FILE", hint: undefined });
  });

  test("returns the original if variants are next to it, and names them", async () => {
    const path = await folder("variants", ...["", "_q4", "_quantized"].map((end) => join("onnx", `model${end}.onnx`)));
    await writeFile(join(path, "onnx", "model_q4.onnx_data"), "");
    const original = join(path, "onnx", "model.onnx");
    expect(await find(path)).toEqual([
      original,
      [expect.stringMatching(/ is .*model\.onnx; .*: model_q4\.onnx, model_quantized\.onnx$/)],
    ]);
  });

  test("returns paths of files and missing paths unchanged", async () => {
    expect(await find(join(root, "missing.onnx"))).toEqual([join(root, "missing.onnx"), []]);
  });
});

test("withModelFiles replaces folders only in options that name models", async () => {
  const path = await folder("flags", "model.onnx");
  const options = { original: path, otherTeachers: [path, path], data: path, out: path, samples: 3 };
  expect(await withModelFiles(options, (word) => findModel(word, { note: () => {} }))).toEqual({
    ...options,
    original: join(path, "model.onnx"),
    otherTeachers: [join(path, "model.onnx"), join(path, "model.onnx")],
  });
});
