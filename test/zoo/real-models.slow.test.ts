/** Tests that the laws of handwritten graphs also hold for exported graphs. */
import { readdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { structureHash } from "../../src/core/graph/structure-hash.ts";
import { parseModel, printWholeModel } from "../../src/core/graph/text.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { open } from "../../src/core/onnx/index.ts";
import { shared } from "../shared.ts";

const files = ["data/models", "data/zoo"].flatMap((folder) => onnxFiles(shared(folder)));

describe.skipIf(files.length === 0)("real models", () => {
  test.each(files.map((path) => [basename(path), path]))("%s is valid, and its clone is equal", async (_, path) => {
    const model = await open(path);
    expect(verify(model)).toEqual([]);
    expect(structureHash(model.clone())).toBe(structureHash(model));
  });

  // Reading the text of a large model twice takes too long.
  const small = files.filter((path) => statSync(path).size < 500_000);
  test.each(small.map((path) => [basename(path), path]))("%s prints the same text after parsing", async (_, path) => {
    const text = await printWholeModel(await open(path));
    expect(await printWholeModel(parseModel(text))).toBe(text);
  });
});

function onnxFiles(folder: string | undefined): readonly string[] {
  if (folder === undefined) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".onnx"))
    .map((name) => join(folder, name))
    .sort();
}
