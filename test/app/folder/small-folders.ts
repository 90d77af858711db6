/** Folders with small models for transformers.js, and runs on them. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { beforeEach } from "vitest";
import type { FolderOptions } from "../../../src/app/folder/folder-run.ts";
import { quantizeFolder } from "../../../src/app/folder/quantize-folder.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";

export const network = (seed: number) =>
  parseModel(`opset 17
graph (x: float32[batch, 64]) -> (y: float32[batch, 64]) {
  a.weight: float32[64, 64] = random(seed ${seed})
  b.weight: float32[64, 64] = random(seed ${seed + 1})
  h = MatMul "a" (x, a.weight)
  r = Relu(h)
  y = MatMul "b" (r, b.weight)
}`);

/** Writes them into a new folder for each test. */
export function smallFolders() {
  let root = "";
  const at = (...names: string[]): string => join(root, ...names);
  const source = (): string => at("model");
  const out = (): string => at("out");

  async function write(name: string, text: string): Promise<void> {
    await mkdir(dirname(at("model", name)), { recursive: true });
    await writeFile(at("model", name), text);
  }

  async function modules(...bases: readonly string[]): Promise<void> {
    await mkdir(at("model", "onnx"), { recursive: true });
    for (const [index, base] of bases.entries()) await save(network(index + 1), at("model", "onnx", `${base}.onnx`));
  }

  const run = (options: Partial<FolderOptions> = {}) =>
    quantizeFolder(source(), { dtypes: ["q8", "q4"], out: out(), ...options });

  async function loaderOf(folder = out()): Promise<Readonly<Record<string, unknown>> | undefined> {
    return JSON.parse(await readFile(join(folder, "config.json"), "utf8"))["transformers.js_config"];
  }

  async function recordOf(): Promise<{ readonly files: Readonly<Record<string, unknown>> }> {
    return JSON.parse(await readFile(at("out", "quantize_config.json"), "utf8"));
  }

  beforeEach(() => {
    root = temporaryFolder();
  });
  return { at, source, out, write, modules, run, loaderOf, recordOf };
}

/** Returns the paths of all files below a folder. */
export const files = async (folder: string): Promise<readonly string[]> =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted();
