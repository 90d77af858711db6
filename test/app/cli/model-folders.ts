/** Folders as transformers.js lays them out, with small models in them. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { temporaryFolder } from "../../temporary.ts";
import { pith } from "./run.ts";

/** A folder with a model to quantize and one in which nothing can be, in a folder of the test file's own. */
export function modelFolder(): { readonly root: string; readonly folder: string } {
  const root = temporaryFolder();
  const folder = join(root, "model");
  beforeAll(async () => {
    await mkdir(join(folder, "onnx"), { recursive: true });
    const network = parseModel(`opset 17
graph (x: float32[batch, 64]) -> (y: float32[batch, 64]) {
  a.weight: float32[64, 64] = random(seed 1)
  y = MatMul "a" (x, a.weight)
}`);
    await save(network, join(folder, "onnx", "model.onnx"));
    await writeFile(join(folder, "config.json"), "{}");
    // Nothing to quantize.
    await save(
      parseModel("graph (x: float32[2]) -> (y: float32[2]) {\n  y = Relu(x)\n}"),
      join(folder, "onnx", "relu.onnx"),
    );
  });
  return { root, folder };
}

export const texts = `opset 17
graph (input_ids: int64[batch, n]) -> (y: float32[batch, n, 64]) {
  table: float32[96, 64] = random(seed 1)
  a.weight: float32[64, 64] = random(seed 2)
  h = Gather(table, input_ids)
  y = MatMul "a" (h, a.weight)
}`;
export const images = `opset 17
graph (pixel_values: float32[batch, 3, 8, 8]) -> (y: float32[batch, 64]) {
  a.weight: float32[192, 64] = random(seed 1)
  flat = Flatten(pixel_values)
  y = MatMul "a" (flat, a.weight)
}`;

/** A folder under `root` with a model and empty files. */
export async function given(root: string, name: string, model: string, ...files: readonly string[]): Promise<string> {
  const path = join(root, name);
  await mkdir(join(path, "onnx"), { recursive: true });
  await save(parseModel(model), join(path, "onnx", "model.onnx"));
  for (const file of files) await writeFile(join(path, file), "{}");
  return path;
}

/** How a card begins what runs the folder. */
export const program = "await pipeline(";

/** `pith quantize` of a folder that lacks files writes what it can, and says what is missing. */
export async function expectIncomplete(
  root: string,
  name: string,
  model: string,
  files: readonly string[],
  missing: string,
): Promise<void> {
  const path = await given(root, name, model, ...files);
  const sentence = `${missing}, so transformers.js cannot run this folder. Copy the missing files into it from the page of the model`;
  const { code, out, err } = await pith("quantize", path, "--dtype", "q4", "-o", `${path}.out`);
  expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining(`incomplete: ${sentence}\n`) });
  expect(out).toContain(`\n${sentence}.\n`);
  expect(out).toMatch(/^q4 +model_q4 .* unusable$/m);
  expect(out).not.toContain("a program that loads");
  const card = await readFile(join(`${path}.out`, "README.md"), "utf8");
  expect(card).toContain(`\n${sentence}.\n`);
  expect(card).not.toContain(program);
  expect(await readdir(join(`${path}.out`, "onnx"))).toHaveLength(2);
}

/** Text of a network whose channels can be pruned. */
export const twoLayers = `opset 18
graph (x: float32[n, 8]) -> (y: float32[n, 4]) {
  a.weight: float32[8, 16] = random(seed 1)
  b.weight: float32[16, 4] = random(seed 2)
  h = MatMul(x, a.weight)
  r = Relu(h)
  y = MatMul(r, b.weight)
}`;

/** Returns all paths in a folder. */
export const filesOf = async (folder: string): Promise<readonly string[]> =>
  (await readdir(folder, { recursive: true })).toSorted();

/** Makes a folder with a model of two layers, and rows for it. @returns the words that quantize it to a download size. */
export function downloadFolder(root: string): {
  readonly words: (...more: readonly string[]) => string[];
  readonly rows: string;
} {
  const network = `opset 17
graph (x: float32[batch, 8]) -> (y: float32[batch, 64]) {
  a.weight: float32[8, 64] = random(seed 1)
  b.weight: float32[64, 64] = random(seed 2)
  h = MatMul "a" (x, a.weight)
  y = MatMul "b" (h, b.weight)
}`;
  const words = (...more: readonly string[]): string[] => [
    ...["quantize", join(root, "one"), "--dtype", "q8,q4", "--target-download", "3kB"],
    ...["-o", join(root, "one.small"), ...more],
  ];
  const rows = join(root, "rows.csv");

  beforeAll(async () => {
    await given(root, "one", network, "config.json");
    const numbers = random(5, "rows");
    const names = Array.from({ length: 8 }, (_, index) => `x${index}`);
    const lines = Array.from({ length: 64 }, () => names.map(() => numbers.normal()).join(","));
    await writeFile(rows, `${names.join(",")}\n${lines.join("\n")}\n`);
  });
  return { words, rows };
}
