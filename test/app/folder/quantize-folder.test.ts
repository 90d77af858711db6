/** Tests which files a run on a transformers.js folder writes, and what its config.json and card contain. */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import type { FolderVariant } from "../../../src/app/folder/folder-run.ts";
import { quantizeFolder } from "../../../src/app/folder/quantize-folder.ts";
import { PithError } from "../../../src/core/errors.ts";
import { bytes } from "../../../src/core/numbers.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { measureSize } from "../../../src/runtime/run/model-size.ts";
import { files, smallFolders } from "./small-folders.ts";

const { at, source, out, write, modules, run, loaderOf } = smallFolders();

/** Options of a run that copies models instead of quantizing them, for tests of other files. */
const copying = {
  make: async ({ source: original, out: path }: FolderVariant) => {
    await save(await open(original), path);
    return { bytes: 1, measured: "" };
  },
};

describe("a folder with one model", () => {
  test("contains every variant with the name that transformers.js expects, and copies of other files", async () => {
    await modules("model");
    await write("config.json", '{ "model_type": "bert" }');
    await write("tokenizer.json", "{}");
    await write("onnx/model_bnb4.onnx", "a variant of somebody else's");
    await write(".git/HEAD", "");
    const before = await files(source());
    const rows = await run({ dtypes: "all" });
    expect(rows.map(({ dtype, verdict }) => [dtype, verdict])).toEqual(
      ["q8", "int8", "uint8", "q4", "q4f16", "fp16"].map((dtype) => [dtype, "kept"]),
    );
    expect(await files(out())).toEqual([
      "README.md",
      "config.json",
      "onnx/model.onnx",
      "onnx/model_fp16.onnx",
      "onnx/model_int8.onnx",
      "onnx/model_q4.onnx",
      "onnx/model_q4f16.onnx",
      "onnx/model_quantized.onnx",
      "onnx/model_uint8.onnx",
      "quantize_config.json",
      "tokenizer.json",
    ]);
    expect(await loaderOf()).toBeUndefined();
    expect(await files(source())).toEqual(before);
    for (const { bytes = 0, brotli = 0, originalBrotli = 0, measured, judgedOn } of rows) {
      expect(bytes).toBeGreaterThan(brotli);
      expect(originalBrotli).toBe((await measureSize([at("model", "onnx", "model.onnx")], undefined, "quick")).brotli);
      expect(originalBrotli).toBeGreaterThan(brotli);
      expect(measured).toMatch(/signal to noise \d/);
      expect(judgedOn).toEqual([
        "Compared on 32 random inputs, without data: only a strong difference rejects a file.",
      ]);
    }
    expect(await readFile(at("out", "README.md"), "utf8")).toContain(
      "\n\nCompared on 32 random inputs, without data: only a strong difference rejects a file.\n\n",
    );
  });

  test("passes the original's size after brotli to the second variant, so that it is measured once", async () => {
    await modules("model");
    const passedSizes: unknown[] = [];
    const make = async ({ source: original, out: path, originalBrotli }: FolderVariant) => {
      passedSizes.push(originalBrotli);
      await save(await open(original), path);
      return { bytes: 1, measured: "", originalBrotli: originalBrotli ?? 1000 };
    };
    await run({ dtypes: ["q8", "q4"], make });
    expect(passedSizes).toEqual([undefined, 1000]);
  });

  test("has one card with the table, after the text of the README", async () => {
    await modules("model");
    await write("config.json", '{ "architectures": ["BertForSequenceClassification"] }');
    await write("README.md", "---\nlicense: mit\n---\n# Of its author\n");
    const [row] = await run({ dtypes: ["q8"] });
    await run({ dtypes: ["q4"] });
    const card = await readFile(at("out", "README.md"), "utf8");
    expect(card.startsWith("---\nlicense: mit\n---\n# Of its author\n")).toBe(true);
    expect(card.match(/## Files for transformers\.js/g)).toHaveLength(1);
    expect(card).toContain(`| q8 | onnx/model_quantized.onnx | ${bytes(row?.bytes ?? 0)} |`);
    expect(card).toMatch(/^\| fp32 \| onnx\/model\.onnx \| \d.*\n(.*\n)*\| q4 \| onnx\/model_q4\.onnx \|/m);
    expect(card).toContain("the programs load `q4`, the first requested dtype; `q4` is the smallest download");
    expect(card).toContain(
      'await pipeline("text-classification", "./out", { dtype: "q4" });\nconsole.log(await run("Once upon a time"));',
    );
    expect(card).toMatch(
      /env\.allowLocalModels = true;\nconst run = await pipeline\("text-classification", "\/models\/out", /,
    );
    expect(card).not.toContain("fastest");
    await run({ out: source(), dtypes: ["q4"] });
    await run({ out: source(), dtypes: ["q4"] });
    const inPlace = await readFile(at("model", "README.md"), "utf8");
    expect(inPlace.match(/<!-- pith/g)).toHaveLength(1);
    expect(inPlace).toContain("# Of its author");
  });

  test.each([
    ['{ "architectures": ["BertForSequenceClassification"] }', "pipeline_tag: text-classification\n"],
    ['{ "architectures": ["StrangeModel"], "_name_or_path": "/home/author/model" }', ""],
  ])("without a README, describes %s on the card with the metadata that the Hub reads", async (config, tag) => {
    await modules("model");
    await write("config.json", config);
    for (const dtypes of [["q8"], ["q4"]] as const) {
      await run({ dtypes, ...copying });
      const card = await readFile(at("out", "README.md"), "utf8");
      expect(card.startsWith(`---\nlibrary_name: transformers.js\n${tag}---\n\n# out\n\n<!-- pith`)).toBe(true);
    }
  });

  test.each([
    ["a dtype", "q4", { model: "fp16" }],
    ["a dtype of a module", { model: "q4", other: "q8" }, { model: "fp16", other: "q8" }],
    ["an existing dtype", "fp16", "fp16"],
    ["the dtype of the originals", "fp32", "fp32"],
    ["a word that is not a dtype", "auto", "auto"],
  ])("names only existing dtypes in config.json if its source names %s", async (_, named, told) => {
    await modules("model");
    const naming = (dtype: unknown) => ({
      dtype,
      device_config: { webgpu: { dtype }, wasm: { free_dimension_overrides: {} } },
    });
    await write("config.json", JSON.stringify({ "transformers.js_config": naming(named) }));
    await run({ dtypes: ["fp16"], ...copying });
    expect(await loaderOf()).toEqual(naming(told));
  });

  test.each([
    ["of tokens", "GPT2LMHeadModel", { tokens: 40, same: 40, batch: 0.95 }, "."],
    ["of vectors", "BertModel", { batch: 0.95, batchSamples: 40 }, ": use another variant for vectors that you store."],
    ["of a classifier", "BertForSequenceClassification", { batch: 0.95, batchSamples: 40 }, "."],
  ])("states that outputs %s depend on their batch", async (_, architecture, together, end) => {
    await modules("model");
    await write("config.json", JSON.stringify({ architectures: [architecture] }));
    await run({ dtypes: ["q8"], ...copying, compareEndToEnd: () => Promise.resolve(together) });
    const card = await readFile(at("out", "README.md"), "utf8");
    expect(card).toContain(`- The outputs of \`q8\` depend on the other samples of a batch${end}\n`);
  });

  test("lists a file as not checked if the run was stopped before its check", async () => {
    await modules("model");
    await write("config.json", '{ "model_type": "bert" }');
    const stop = new PithError("E_STOPPED", "Stopped on request.");
    const loader = { version: "4.3.1", hasUserInputs: false, canCompare: false, run: () => Promise.reject(stop) };
    await expect(run({ dtypes: ["q8"], ...copying, loader })).rejects.toBe(stop);
    const card = await readFile(at("out", "README.md"), "utf8");
    expect(card).toMatch(/^\| q8 \| onnx\/model_quantized\.onnx \|.* not checked \|$/m);
    expect(card).toContain("\n\nnot checked: transformers.js has not run the file yet.\n\n");
    expect(card).not.toContain("loads and runs");
  });

  test("can be quantized in place", async () => {
    await modules("model");
    await run({ out: source(), dtypes: ["q4"] });
    expect(await files(source())).toEqual([
      "README.md",
      "onnx/model.onnx",
      "onnx/model_q4.onnx",
      "quantize_config.json",
    ]);
  });
});

test("names the first valid dtype of each module in config.json, by file and session", async () => {
  await modules("encoder_model", "decoder_model_merged");
  await write("config.json", "{}");
  const rows = await run({
    dtypes: ["q4", "q8"],
    make: async ({ source: from, out: to, dtype }) => {
      if (dtype === "q4" && from.includes("encoder")) throw new PithError("E_ACCURACY_LOST", "It is lost.");
      await save(await open(from), to);
      return { bytes: 1, measured: "" };
    },
  });
  expect(rows.filter(({ verdict }) => verdict === "rejected")).toEqual([
    { dtype: "q4", file: "onnx/encoder_model_q4.onnx", verdict: "rejected", reason: "It is lost." },
  ]);
  expect(await loaderOf()).toEqual({ dtype: { decoder_model_merged: "q4", encoder_model: "q8", model: "q8" } });
  // The encoder has no q4, so the card does not recommend q4 for any device.
  const card = await readFile(at("out", "README.md"), "utf8");
  expect(card).toContain("- Node and WebAssembly: `q8` is the smallest download.\n- WebGPU: `fp32`.\n");
});

test("rejects the file of fewest bits if files fail together, even if another one loses more alone", async () => {
  await modules("encoder_model", "decoder_model_merged");
  await write("config.json", "{}");
  const combinations: string[] = [];
  await run({
    dtypes: ["q8", "q4"],
    keepSmallest: true,
    makesTogether: true,
    make: async ({ source: from, out: to, dtype }) => {
      const isDecoder = from.includes("decoder");
      if (isDecoder && dtype === "q4") throw new PithError("E_ACCURACY_LOST", "It is lost.");
      await save(await open(from), to);
      const loss = isDecoder ? 0.02 : 0.01;
      const nearness = { metric: "word error rate", unit: "share", value: loss, difference: loss } as const;
      return { bytes: dtype === "q4" ? 50 : 60, measured: "", nearness };
    },
    compareEndToEnd: (models) => {
      const dtypes = models.map(({ result }) => /_(quantized|q4)/.exec(result)?.[1] ?? "fp32");
      combinations.push(dtypes.join(" + "));
      return Promise.resolve(dtypes.includes("q4") ? { lost: "Both lose too much." } : {});
    },
  });
  expect(combinations).toEqual(["quantized + q4", "quantized + quantized"]);
});

describe("a file that fails", () => {
  const failing = (error: Error) => ({
    make: async (variant: FolderVariant) => {
      if (variant.dtype === "q4" && variant.source.includes("encoder")) throw error;
      return copying.make(variant);
    },
  });

  test.each([
    [new PithError("E_NAME", '"a" cannot be renamed.'), '"a" cannot be renamed.'],
    [new PithError("E_FILE", "The weights cannot be read."), "The weights cannot be read."],
    [new PithError("E_OPTION", "bits is 8, got 4."), "bits is 8, got 4."],
    [new TypeError("x is undefined"), "internal: x is undefined"],
  ])("is rejected with its reason, and all others are made (%s)", async (error, reason) => {
    await modules("encoder_model", "decoder_model_merged");
    const rows = await run({ dtypes: ["q4", "q8"], ...failing(error) });
    expect(rows.map(({ file, verdict, reason }) => [file, verdict, reason])).toEqual([
      ["onnx/decoder_model_merged_q4.onnx", "kept", undefined],
      ["onnx/encoder_model_q4.onnx", "rejected", reason],
      ["onnx/decoder_model_merged_quantized.onnx", "kept", undefined],
      ["onnx/encoder_model_quantized.onnx", "kept", undefined],
    ]);
  });

  test("is rejected if the models of its dtype fail to run together, and other dtypes are made", async () => {
    await modules("encoder_model", "decoder_model_merged");
    const together = async (paths: readonly { readonly result: string }[]) => {
      if (paths.some(({ result }) => result.endsWith("_q4.onnx"))) throw new PithError("E_ENGINE", "They do not run.");
      return {};
    };
    const rows = await run({ dtypes: ["q4", "q8"], ...copying, compareEndToEnd: together });
    expect(rows.filter(({ verdict }) => verdict === "rejected")).toMatchObject([{ reason: "They do not run." }]);
    expect(rows.filter(({ dtype, verdict }) => dtype === "q8" && verdict === "kept")).toHaveLength(2);
  });

  test("in timing is kept without a time", async () => {
    await modules("model");
    const time = async () => {
      throw new PithError("E_ENGINE", "It does not load.");
    };
    const texts: string[] = [];
    const context = { log: ({ text }: { readonly text: string }) => void texts.push(text) };
    const rows = await quantizeFolder(source(), { dtypes: ["q8", "q4"], out: out(), ...copying, time }, context);
    expect(rows.map(({ verdict }) => verdict)).toEqual(["kept", "kept"]);
    expect(texts).toContain("onnx/model_q4.onnx was not timed: It does not load.");
  });

  test("ends the run if the folder is the one of the models, and names the folder around it", async () => {
    await modules("model");
    const error = await quantizeFolder(at("model", "onnx"), { dtypes: ["q8"], out: out() }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({
      code: "E_FILE",
      message: expect.stringContaining("has only the models: expected the folder around it"),
      hint: `Name the folder above: ${source()}.`,
    });
  });

  test("ends the run if the disk is full", async () => {
    await modules("encoder_model", "decoder_model_merged");
    const error = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
    await expect(run({ dtypes: ["q4", "q8"], ...failing(error) })).rejects.toBe(error);
  });
});
