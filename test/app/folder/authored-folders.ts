/** A source folder whose texts and model have versions, and runs that copy its model in place of quantizing it. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach } from "vitest";
import type { FolderOptions } from "../../../src/app/folder/folder-run.ts";
import { quantizeFolder } from "../../../src/app/folder/quantize-folder.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";

export const network = (seed: number) =>
  parseModel(`opset 17
graph (x: float32[batch, 64]) -> (y: float32[batch, 64]) {
  a.weight: float32[64, 64] = random(seed ${seed})
  y = MatMul "a" (x, a.weight)
}`);

export const textOf = (path: string): Promise<string> => readFile(path, "utf8");

/** Copies the original in place of quantizing it, because these tests only check which files are written. */
const make: FolderOptions["make"] = async ({ source: from, out: to, fileBytes }) => {
  const model = await open(from);
  model.header.metadata.set("by", "test");
  await save(model, to, { fileBytes });
  return { bytes: 1, measured: "" };
};

/** Writes version 1 into a new folder for each test. */
export function authoredFolders() {
  let root = "";
  const source = (name: string): string => join(root, "model", name);
  const out = (name: string): string => join(root, "out", name);

  /** Writes the source folder in a version with its own texts and model. */
  async function given(version: number): Promise<void> {
    await mkdir(source("onnx"), { recursive: true });
    await save(network(version), source("onnx/model.onnx"));
    await writeFile(source("config.json"), JSON.stringify({ model_type: "bert", version }));
    await writeFile(source("README.md"), `# Version ${version}\n`);
    await writeFile(source("tokenizer.json"), JSON.stringify({ version }));
    await writeFile(source("LICENSE"), `Licence, version ${version}\n`);
  }

  async function run(options: Partial<FolderOptions> = {}) {
    const messages: string[] = [];
    const log = ({ id, text }: { readonly id: string; readonly text: string }) =>
      void messages.push(`${id}: ${text.replaceAll(join(root, "out"), "out")}`);
    const rows = await quantizeFolder(
      join(root, "model"),
      { dtypes: ["q4"], out: join(root, "out"), make, ...options },
      { log },
    );
    return { rows, messages };
  }

  beforeEach(async () => {
    root = temporaryFolder();
    await given(1);
  });
  return { source, out, given, run };
}
