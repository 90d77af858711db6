/** Tests the search over all techniques for models of a folder: its results, which of them are kept, and the originals. */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import type { Loader } from "../../src/app/folder/loader.ts";
import { quantizeFolder } from "../../src/app/folder/quantize-folder.ts";
import type { FolderOptions, Found } from "../../src/app/folder/run.ts";
import { PithError } from "../../src/core/errors.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import type { Context } from "../../src/core/pass/pass.ts";
import { temporaryFolder } from "../temporary.ts";

let root = "";
const at = (...names: readonly string[]): string => join(root, ...names);
const contents = (...names: readonly string[]): Promise<string> => readFile(at(...names), "latin1");

/** The file of this network has about four times the width squared in bytes. */
const network = (width: number, seed = 1) =>
  parseModel(`opset 17
graph (x: float32[batch, 64]) -> (y: float32[batch, 64]) {
  a.weight: float32[64, ${width}] = random(seed ${seed})
  b.weight: float32[${width}, 64] = random(seed ${seed + 1})
  h = MatMul "a" (x, a.weight)
  y = MatMul "b" (h, b.weight)
}`);

async function modules(...bases: readonly string[]): Promise<void> {
  await mkdir(at("model", "onnx"), { recursive: true });
  for (const [index, base] of bases.entries())
    await save(network(64, 2 * index + 1), at("model", "onnx", `${base}.onnx`));
}

/** Saves a network of this width as a search result with this accuracy drop. */
async function saveCandidate(width: number, drop: number): Promise<Found> {
  const path = at(`${width}.onnx`);
  await save(network(width), path);
  const bytes = (await readFile(path)).length;
  const recipe = { name: `${width} wide`, text: "version: 1\n" };
  return { path, drop, figures: { bytes, measured: `drop ${drop}`, recipe } };
}

type Fronts = Readonly<Record<string, readonly (readonly [width: number, drop: number])[]>>;

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

describe("a search of one model", () => {
  beforeEach(() => modules("model"));

  test("replaces the original by the best result, as record, card and config.json state", async () => {
    await writeFile(at("model", "config.json"), "{}");
    const { search, searched } = searching({ model: [[4, 0.2]] });
    expect(listKept(await compress({ search }))).toEqual([["onnx/model.onnx", "searched"]]);
    expect(searched).toEqual([["model", 1]]);
    expect(await readdir(at("out", "onnx"))).toEqual(["model.onnx"]);
    expect(await contents("out", "onnx", "model.onnx")).toBe(await contents("4.onnx"));
    const { files } = JSON.parse(await contents("out", "quantize_config.json"));
    expect(files).toEqual({
      "onnx/model.onnx": expect.objectContaining({
        dtype: "searched",
        recipe: { name: "4 wide", text: "version: 1\n" },
      }),
    });
    const card = await contents("out", "README.md");
    expect(card).toMatch(/^\| fp32 \| onnx\/model\.onnx \| 32\.\d kB/m);
    expect(card).toContain(
      "model.onnx is the result of a search over all techniques (4 wide) and replaces the original.",
    );
    expect(card).toContain("of q8, q4 and a search over all techniques: the smallest");
    expect(card).toContain('{ dtype: "fp32" }');
    expect(JSON.parse(await contents("out", "config.json"))["transformers.js_config"]).toEqual({
      dtype: { model: "fp32" },
    });
  });

  test("restores the original if a dtype is smaller than the result", async () => {
    const rows = await compress({ search: searching({ model: [[60, 0]] }).search });
    expect(listKept(rows)).toEqual([["onnx/model_q4.onnx", "q4"]]);
    expect(rows.at(-1)).toMatchObject({ dtype: "searched", verdict: "passed over" });
    expect(await contents("out", "onnx", "model.onnx")).toBe(await contents("model", "onnx", "model.onnx"));
    const { files } = JSON.parse(await contents("out", "quantize_config.json"));
    expect(Object.keys(files)).toEqual(["onnx/model_q4.onnx"]);
  });

  test("does not overwrite a result that an author changed", async () => {
    const { search } = searching({ model: [[4, 0.2]] });
    await compress({ search });
    await save(network(7), at("out", "onnx", "model.onnx"));
    const changed = await contents("out", "onnx", "model.onnx");
    await expect(compress({ search })).rejects.toMatchObject({ code: "E_OPTION" });
    expect(await contents("out", "onnx", "model.onnx")).toBe(changed);
  });

  test("uses the next result of the front if transformers.js does not run the first", async () => {
    const asked: string[] = [];
    const ask: Loader["ask"] = async ({ model }) => {
      if (model !== "searched") return answers;
      const bytes = (await contents("out", "onnx", "model.onnx")).length;
      asked.push(`${bytes}`);
      return asked.length === 1 ? { failed: "load", reason: "no kernel" } : answers;
    };
    const answers = {
      answers: [{ outputs: { y: Float32Array.of(1, -1) }, tokens: [] }],
      sessions: ["model"],
      ran: ["model"],
    };
    const loader = { version: "4.3.1", judges: true, compares: true, ask };
    await writeFile(at("model", "config.json"), "{}");
    const { search } = searching({
      model: [
        [4, 0.5],
        [5, 0.1],
      ],
    });
    const rows = await compress({ search, loader });
    expect(rows.map(({ verdict }) => verdict)).toContain("kept");
    expect(await contents("out", "onnx", "model.onnx")).toBe(await contents("5.onnx"));
  });

  test("is skipped in the source folder, whose originals are kept", async () => {
    const before = await contents("model", "onnx", "model.onnx");
    const { search, searched } = searching({ model: [[4, 0.2]] });
    const messageIds: string[] = [];
    await compress({ search, out: at("model") }, { log: ({ id }) => messageIds.push(id) });
    expect(searched).toEqual([]);
    expect(messageIds).toContain("search");
    expect(await contents("model", "onnx", "model.onnx")).toBe(before);
  });
});
