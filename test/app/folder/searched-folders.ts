/** Folders with small models for transformers.js, and runs on them whose searches return networks of given sizes. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach } from "vitest";
import type { FolderOptions, ModuleResult } from "../../../src/app/folder/folder-run.ts";
import { quantizeFolder } from "../../../src/app/folder/quantize-folder.ts";
import { PithError } from "../../../src/core/errors.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import type { Context } from "../../../src/core/pass/pass.ts";
import { temporaryFolder } from "../../temporary.ts";

/** The file of this network has about four times the width squared in bytes. */
export const network = (width: number, seed = 1) =>
  parseModel(`opset 17
graph (x: float32[batch, 64]) -> (y: float32[batch, 64]) {
  a.weight: float32[64, ${width}] = random(seed ${seed})
  b.weight: float32[${width}, 64] = random(seed ${seed + 1})
  h = MatMul "a" (x, a.weight)
  y = MatMul "b" (h, b.weight)
}`);

/** Candidates that the search of each module returns. */
export type Fronts = Readonly<Record<string, readonly (readonly [width: number, drop: number])[]>>;

/** Writes them into a new folder for each test. */
export function searchedFolders() {
  let root = "";
  const at = (...names: readonly string[]): string => join(root, ...names);
  const contents = (...names: readonly string[]): Promise<string> => readFile(at(...names), "latin1");

  async function modules(...bases: readonly string[]): Promise<void> {
    await mkdir(at("model", "onnx"), { recursive: true });
    for (const [index, base] of bases.entries())
      await save(network(64, 2 * index + 1), at("model", "onnx", `${base}.onnx`));
  }

  /** Saves a network of this width as a search result with this accuracy drop. */
  async function saveCandidate(width: number, drop: number): Promise<ModuleResult> {
    const path = at(`${width}.onnx`);
    await save(network(width), path);
    const bytes = (await readFile(path)).length;
    const recipe = { name: `${width} wide`, text: "version: 1\n" };
    return { path, drop, figures: { bytes, measured: `drop ${drop}`, recipe } };
  }

  /** @returns the options of a run whose searches return these candidates, and the modules that were searched. */
  function searching(fronts: Fronts, settings = { steps: 8 }) {
    const searched: [string, number][] = [];
    const find: NonNullable<FolderOptions["search"]>["find"] = async ({ base }, share) => {
      searched.push([base, share]);
      const front = fronts[base] ?? [];
      if (front.length === 0) throw new PithError("E_UNSUPPORTED", "No variant is smaller than the original.");
      return Promise.all(front.map(([width, drop]) => saveCandidate(width, drop)));
    };
    return { searched, search: { settings, find } };
  }

  const compress = (options: Partial<FolderOptions> = {}, context: Partial<Context> = {}) =>
    quantizeFolder(at("model"), { dtypes: ["q8", "q4"], out: at("out"), keepSmallest: true, ...options }, context);
  const listKept = (rows: Awaited<ReturnType<typeof compress>>) =>
    rows.filter(({ verdict }) => verdict === "kept" || verdict === "there").map(({ file, dtype }) => [file, dtype]);

  beforeEach(() => {
    root = temporaryFolder();
  });
  return { at, contents, modules, searching, compress, listKept };
}
