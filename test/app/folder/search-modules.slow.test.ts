/** Tests searches of several modules, and repeated searches. */
import { readFile, rm } from "node:fs/promises";
import { beforeEach, describe, expect, test } from "vitest";
import type { ModulePaths } from "../../../src/app/folder/end-to-end.ts";
import type { FolderOptions } from "../../../src/app/folder/folder-run.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { type Fronts, network, searchedFolders } from "./searched-folders.ts";

const { at, contents, modules, searching, compress, listKept } = searchedFolders();

describe("a search of one model", () => {
  beforeEach(() => modules("model"));

  test("keeps the dtypes if it finds nothing, and states the reason", async () => {
    const rows = await compress({ search: searching({}).search });
    expect(listKept(rows)).toEqual([["onnx/model_q4.onnx", "q4"]]);
    expect(rows.at(-1)).toMatchObject({
      dtype: "searched",
      verdict: "rejected",
      reason: "No variant is smaller than the original.",
    });
  });

  test("is repeated only for other settings or another model", async () => {
    await compress({ search: searching({ model: [[4, 0.2]] }).search });
    const same = searching({});
    expect(listKept(await compress({ search: same.search }))).toEqual([["onnx/model.onnx", "searched"]]);
    expect(same.searched).toEqual([]);
    expect(await contents("out", "onnx", "model.onnx")).toBe(await contents("4.onnx"));
    const longer = searching({ model: [[3, 0.2]] }, { steps: 20 });
    await compress({ search: longer.search });
    expect(longer.searched).toEqual([["model", 1]]);
    expect(await contents("out", "onnx", "model.onnx")).toBe(await contents("3.onnx"));
    await save(network(64, 9), at("model", "onnx", "model.onnx"));
    await compress({ search: searching({}, { steps: 20 }).search });
    expect(await contents("out", "onnx", "model.onnx")).toBe(await contents("model", "onnx", "model.onnx"));
  });

  test("is replaced by the original in a later run without a search", async () => {
    await compress({ search: searching({ model: [[4, 0.2]] }).search });
    await rm(at("4.onnx"));
    await compress();
    expect(await contents("out", "onnx", "model.onnx")).toBe(await contents("model", "onnx", "model.onnx"));
  });
});

describe("a search of several models", () => {
  beforeEach(() => modules("encoder_model", "decoder_model_merged"));
  const fronts: Fronts = {
    encoder_model: [
      [4, 0.9],
      [8, 0.8],
    ],
    decoder_model_merged: [
      [4, 0.9],
      [5, 0.2],
      [6, 0.1],
    ],
  };
  const widthsOf = (paths: readonly ModulePaths[]): Promise<readonly number[]> =>
    Promise.all(paths.map(async ({ result }) => (await readFile(result)).length));

  test("divides the time equally, and keeps the smallest results that work together", async () => {
    const { search, searched } = searching(fronts);
    const together: FolderOptions["compareEndToEnd"] = () => Promise.resolve({ tokens: 100, same: 100 });
    expect(listKept(await compress({ search, compareEndToEnd: together }))).toEqual([
      ["onnx/decoder_model_merged.onnx", "searched"],
      ["onnx/encoder_model.onnx", "searched"],
    ]);
    expect(searched).toEqual([
      ["decoder_model_merged", 0.5],
      ["encoder_model", 0.5],
    ]);
  });

  test("replaces results with the fewest added bytes per drop until they work together", async () => {
    const tried: (readonly number[])[] = [];
    const together: FolderOptions["compareEndToEnd"] = async (paths) => {
      if (paths.some(({ result }) => /_q/.test(result))) return { tokens: 100, same: 100 };
      tried.push(await widthsOf(paths));
      return { tokens: 100, same: tried.length < 4 ? 1 : 100 };
    };
    const rows = await compress({ search: searching(fronts).search, compareEndToEnd: together });
    expect(listKept(rows).map(([, dtype]) => dtype)).toEqual(["searched", "searched"]);
    const sizes = new Map<number, number>();
    for (const width of [4, 5, 6, 8]) sizes.set(width, (await readFile(at(`${width}.onnx`))).length);
    const sizesOf = (...widths: readonly number[]) => widths.map((width) => sizes.get(width));
    expect(tried).toEqual([sizesOf(4, 4), sizesOf(5, 4), sizesOf(6, 4), sizesOf(6, 8)]);
    expect(await contents("out", "onnx", "encoder_model.onnx")).toBe(await contents("8.onnx"));
  });

  test("keeps the originals and dtypes if no results work together", async () => {
    const together: FolderOptions["compareEndToEnd"] = (paths) =>
      Promise.resolve({ tokens: 100, same: paths.every(({ result }) => /_q/.test(result)) ? 100 : 1 });
    const rows = await compress({ search: searching(fronts).search, compareEndToEnd: together });
    expect(
      rows.filter(({ dtype, verdict }) => dtype === "searched" && verdict === "kept").map(({ file }) => file),
    ).toEqual([]);
    for (const base of ["encoder_model", "decoder_model_merged"])
      expect(await contents("out", "onnx", `${base}.onnx`)).toBe(await contents("model", "onnx", `${base}.onnx`));
  });
});
