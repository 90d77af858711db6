import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { open } from "../../core/onnx/index.ts";
import { modelAt, modelsOfFlags } from "./model-folder.ts";

const root = temporaryFolder();

async function folder(name: string, ...files: readonly string[]): Promise<string> {
  const path = join(root, name);
  await mkdir(join(path, "onnx"), { recursive: true });
  for (const file of files) await writeFile(join(path, file), "");
  return path;
}

async function found(path: string): Promise<[string, readonly string[]]> {
  const said: string[] = [];
  return [await modelAt(path, (file, variants) => said.push(file, ...variants)), said];
}

describe("a folder in the place of a model", () => {
  test("is the model in it, at its top or in onnx/, and that is said", async () => {
    for (const place of ["model.onnx", join("onnx", "model.onnx")]) {
      const path = await folder(`one ${place.length}`, place, "other.onnx", "config.json");
      expect(await found(path)).toEqual([join(path, place), [join(path, place)]]);
    }
  });

  test("stays a folder where there are two, or none, and opening it lists what there is", async () => {
    const two = await folder("two", "model.onnx", join("onnx", "model.onnx"));
    const others = await folder("others", "b.onnx", join("onnx", "a.onnx"), join("onnx", "notes.txt"));
    const none = await folder("none", "config.json");
    for (const path of [two, others, none]) expect(await found(path)).toEqual([path, []]);
    await expect(open(two)).rejects.toMatchObject({
      code: "E_FILE",
      hint: `It holds 2 models: model.onnx, ${join("onnx", "model.onnx")}. Name one.`,
    });
    await expect(open(others)).rejects.toMatchObject({
      hint: `It holds 2 models: b.onnx, ${join("onnx", "a.onnx")}. Name one.`,
    });
    await expect(open(none)).rejects.toMatchObject({ code: "E_FILE", hint: undefined });
  });

  test("is the original where variants lie beside it, and they are named", async () => {
    const path = await folder("variants", ...["", "_q4", "_quantized"].map((end) => join("onnx", `model${end}.onnx`)));
    await writeFile(join(path, "onnx", "model_q4.onnx_data"), "");
    const original = join(path, "onnx", "model.onnx");
    expect(await found(path)).toEqual([original, [original, "model_q4.onnx", "model_quantized.onnx"]]);
  });

  test("is one in flags that name models, and in no others", async () => {
    const path = await folder("flags", "model.onnx");
    const said: string[] = [];
    const flags = { against: path, otherTeachers: [path, path], data: path, out: path, samples: 3 };
    expect(await modelsOfFlags(flags, (one) => modelAt(one, (file) => said.push(file)))).toEqual({
      ...flags,
      against: join(path, "model.onnx"),
      otherTeachers: [join(path, "model.onnx"), join(path, "model.onnx")],
    });
    expect(said).toHaveLength(3);
  });

  test("is nothing that files and missing files are", async () => {
    expect(await found(join(root, "missing.onnx"))).toEqual([join(root, "missing.onnx"), []]);
  });
});
