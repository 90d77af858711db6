/** Tests the search over all techniques for models of a folder: its results, which of them are kept, and the originals. */
import { readdir, writeFile } from "node:fs/promises";
import { beforeEach, describe, expect, test } from "vitest";
import type { Loader } from "../../../src/app/folder/loader-check.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { network, searchedFolders } from "./searched-folders.ts";

const { at, contents, modules, searching, compress, listKept } = searchedFolders();

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
    const run: Loader["run"] = async ({ model }) => {
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
    const loader = { version: "4.3.1", hasUserInputs: true, canCompare: true, run };
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
