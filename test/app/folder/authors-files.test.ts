/** Files that an author wrote into a folder survive every run, and files of Pith are updated. */
import { appendFile, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { FolderOptions } from "../../../src/app/folder/folder-run.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { authoredFolders, textOf } from "./authored-folders.ts";

const { source, out, given, run } = authoredFolders();

/** For each file: how an author changes the file of Pith, and an author's file of the same name. */
const changes: Readonly<
  Record<string, { readonly change: () => Promise<void>; readonly foreign: () => Promise<void> }>
> = Object.fromEntries(
  ["README.md", "config.json", "quantize_config.json", "tokenizer.json", "LICENSE"].map((name) => [
    name,
    {
      change: async () => {
        if (!name.endsWith(".json")) await appendFile(out(name), "by the author\n");
        else
          await writeFile(
            out(name),
            JSON.stringify({ ...JSON.parse(await textOf(out(name))), author: "by the author" }),
          );
      },
      foreign: () => writeFile(out(name), name.endsWith(".json") ? '{"author": "by the author"}' : "by the author\n"),
    },
  ]),
);

const kinds = Object.keys(changes);
const merged = ["README.md", "config.json", "quantize_config.json"];

describe.each(kinds)("%s", (name) => {
  test("is written, and updated if Pith wrote it", async () => {
    expect((await run()).messages).toEqual([]);
    const first = await textOf(out(name));
    await given(2);
    expect((await run()).messages).toEqual([]);
    expect(await textOf(out(name))).not.toBe(first);
    if (name !== "quantize_config.json") expect(await textOf(out(name))).toMatch(/version.*2/i);
  });

  test.each(["changed since", "of somebody else"])(
    "keeps its author's content in every run if it is %s",
    async (which) => {
      if (which === "changed since") {
        await run();
        await changes[name]?.change();
      } else {
        await mkdir(out(""), { recursive: true });
        await changes[name]?.foreign();
      }
      await given(2);
      for (const options of [{ dtypes: ["q4", "q8"] }, { keepSmallest: true }, { dtypes: ["q8"] }] as const) {
        const { rows, messages } = await run(options);
        expect(rows.every(({ verdict }) => verdict !== "rejected")).toBe(true);
        expect(await textOf(out(name))).toContain("by the author");
        expect(messages.filter((text) => text.startsWith(`kept: out/${name}`))).toHaveLength(
          name === "quantize_config.json" ? 0 : 1,
        );
      }
      const text = await textOf(out(name));
      if (!merged.includes(name)) expect(text).not.toMatch(/version.*2/i);
      if (name === "README.md") expect(text.match(/<!-- pith/g)).toHaveLength(1);
      if (name === "quantize_config.json") expect(JSON.parse(text)).toHaveProperty("files");
    },
  );
});

test("updates Pith's two keys in config.json, and keeps the author's keys", async () => {
  await run({ keepSmallest: true, fileBytes: 5000 });
  const config = JSON.parse(await textOf(out("config.json")));
  expect(config["transformers.js_config"]).toEqual({
    dtype: { model: "q4" },
    use_external_data_format: { "model.onnx": 0, "model_q4.onnx": 1 },
  });
  config["transformers.js_config"].device = "webgpu";
  await writeFile(out("config.json"), JSON.stringify(config));
  await run({ fileBytes: 1e9 });
  expect(JSON.parse(await textOf(out("config.json")))).toEqual({
    ...{ model_type: "bert", version: 1 },
    "transformers.js_config": { device: "webgpu" },
  });
});

test("keeps the text around the section in README.md, also if a mark is missing", async () => {
  await run();
  const card = await textOf(out("README.md"));
  await writeFile(out("README.md"), `Above\n${card.replace("<!-- /pith -->", "")}Below\n`);
  for (let time = 0; time < 2; time++) {
    await run();
    const text = await textOf(out("README.md"));
    expect(text).toMatch(/^Above\n(.*\n)*Below\n/);
    expect(text.match(/<!-- pith/g)).toHaveLength(2);
  }
});

test("rejects the second of two simultaneous runs", async () => {
  let other: unknown;
  const make: FolderOptions["make"] = async (variant) => {
    other ??= await run({ dtypes: ["q4"], make }).catch((error: unknown) => error);
    await save(await open(variant.source), variant.out);
    return { bytes: 1, measured: "" };
  };
  expect((await run({ dtypes: ["q8"], make })).rows).toMatchObject([{ verdict: "kept" }]);
  expect(other).toMatchObject({ code: "E_FILE", message: expect.stringMatching(/^Another run is writing into "/) });
  expect((await run({ dtypes: ["q4"], make })).rows).toMatchObject([{ verdict: "kept" }]);
  expect((await readdir(out("."))).filter((name) => name.startsWith("."))).toEqual([]);
});

test("rejects a folder whose records are not JSON before it writes anything", async () => {
  await mkdir(out(""), { recursive: true });
  for (const name of ["quantize_config.json", "config.json"]) {
    await writeFile(out(name), "by the author");
    await expect(run()).rejects.toMatchObject({
      code: "E_DATA",
      message: expect.stringContaining(`${name} is not JSON`),
    });
    expect(await textOf(out(name))).toBe("by the author");
    await expect(textOf(out("LICENSE"))).rejects.toThrow();
    await rm(out(name));
  }
});

test("does not copy files that transformers.js does not load, and names them", async () => {
  for (const name of ["pytorch_model.bin", "notes.md", "onnx/model.html", "onnx/model_q4.onnx"])
    await writeFile(source(name), name);
  await mkdir(source("assets"));
  expect((await run()).messages).toEqual([
    "left: not copied, because transformers.js does not load them: assets, notes.md, pytorch_model.bin and onnx/model.html",
  ]);
});
