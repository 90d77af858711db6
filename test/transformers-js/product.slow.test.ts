/** The commands load every file that they write with transformers.js. */
import { existsSync } from "node:fs";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { AutoConfig, env } from "@huggingface/transformers";
import { describe, expect, test } from "vitest";
import loaderJob from "../../src/app/cli/jobs/loader.ts";
import { json, pith, runWithProcesses } from "../app/cli/run.ts";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";

const out = temporaryFolder();
const [bert, llama] = [shared("data/models/bert_sst2"), shared("data/models/llama_shakespeare")];
const texts = ["--text", "a stunning lyrical work of considerable force and truth", "--text", "dull"];
const runs = (found: object) => ({ verdict: "kept", loader: { outcome: "runs", version: env.version, ...found } });

describe.skipIf(bert === undefined)("a classifier", () => {
  test("is loaded and run in a separate process, as the card states", async () => {
    const folder = join(out, "bert");
    const { code, out: text } = await runWithProcesses(
      "quantize",
      bert ?? "",
      "--dtype",
      "q8,q4",
      ...texts,
      "-o",
      folder,
    );
    expect(code).toBe(0);
    expect(text).toContain(`transformers.js ${env.version} loads and runs the files`);
    const card = await readFile(join(folder, "README.md"), "utf8");
    expect(card).toMatch(/\| dtype .*\| transformers\.js \|/);
    expect(card.match(/\| \d\d\.\d+ dB \|$/gm)).toHaveLength(2);
    const again = await json("quantize", bert ?? "", "--dtype", "q8", ...texts, "-o", folder);
    expect(again.files).toMatchObject([{ verdict: "there", loader: { outcome: "runs", version: env.version } }]);
  });

  test("with an unknown class is not tried, and its files are kept", async () => {
    const strange = join(out, "strange");
    await cp(bert ?? "", strange, { recursive: true });
    const originalConfig = JSON.parse(await readFile(join(strange, "config.json"), "utf8"));
    const change = (config: object) =>
      writeFile(join(strange, "config.json"), JSON.stringify({ ...originalConfig, ...config }));
    await change({ architectures: ["StrangeForSequenceClassification"], model_type: "strange" });
    const { files } = await json("quantize", strange, "--dtype", "q8", "-o", `${strange}.out`);
    const reason = "it has no class for StrangeForSequenceClassification";
    expect(files).toMatchObject([{ verdict: "kept", loader: { outcome: "not tried", reason } }]);
    // The model type is enough.
    await change({ architectures: undefined, model_type: "bert" });
    const { files: bertFiles } = await json("quantize", strange, "--dtype", "q8", "-o", `${strange}.kind`);
    expect(bertFiles).toMatchObject([{ verdict: "kept", loader: { outcome: "runs" } }]);
  });

  test("without a valid tokenizer is rejected by quantize and compress", async () => {
    const folder = join(out, "speechless");
    await cp(bert ?? "", folder, { recursive: true });
    await writeFile(join(folder, "tokenizer_config.json"), "[]");
    const { code: brokenCode, err } = await pith("quantize", folder, "--dtype", "q8", "-o", `${folder}.out`);
    expect({ code: brokenCode, err }).toEqual({
      code: 1,
      err: expect.stringContaining("tokenizer_config.json should hold an object."),
    });
    await cp(join(bert ?? "", "tokenizer_config.json"), join(folder, "tokenizer_config.json"));
    await rm(join(folder, "tokenizer.json"));
    const { code, out: text } = await pith("compress", folder, "-o", `${folder}.best`);
    expect({ code, text }).toEqual({
      code: 1,
      text: expect.stringContaining("tokenizer.json is missing: transformers.js"),
    });
    expect(text).not.toMatch(/← kept|Cannot read properties/);
  });

  test.each(["-web", "ein Ordner/[ü](x) it's 50%20 of `a#b`"])(
    "is loaded from a folder called %s, also by the program on the card",
    async (name) => {
      const folder = join(out, "names", name);
      const { files } = await json("quantize", bert ?? "", "--dtype", "q8", "-o", folder);
      expect(files).toMatchObject([{ verdict: "kept", loader: { outcome: "runs" } }]);
      const card = await readFile(join(folder, "README.md"), "utf8");
      const [node, browser] = Array.from(card.matchAll(/await pipeline\("[a-z-]+", (".*"), \{/g), ([, literal = ""]) =>
        String(JSON.parse(literal)),
      );
      expect(resolve(dirname(folder), node ?? "")).toBe(folder);
      // Simulates the requests of a browser, but reads the files from disk.
      const asked = new Set<string>();
      const served = async (address: string | URL) => {
        const { pathname } = new URL(String(address), "http://localhost");
        asked.add(pathname);
        const file = join(dirname(folder), decodeURIComponent(pathname).replace(/^\/models\//, ""));
        return new Response(await readFile(file).catch(() => undefined), { status: existsSync(file) ? 200 : 404 });
      };
      const before = { ...env };
      Object.assign(env, { useFS: false, useFSCache: false, fetch: served, allowRemoteModels: false });
      const config = await AutoConfig.from_pretrained(browser ?? "").finally(() => Object.assign(env, before));
      expect(config).toMatchObject({ model_type: "bert" });
      expect([...asked]).toEqual([`/models/${encodeURIComponent(basename(name))}/config.json`]);
    },
  );
});

describe.skipIf(llama === undefined)("a decoder with a cache", () => {
  test("generates the original's tokens, and reports a file that the class does not load", async () => {
    const { files } = await json("quantize", llama ?? "", "--dtype", "q4,fp16", "-o", join(out, "llama"));
    const reason =
      "decoder_model*.onnx: transformers.js does not load these files for this model; it loads model*.onnx";
    const none = { verdict: "kept", loader: { outcome: "unused", reason } };
    expect(files).toMatchObject([none, runs({ tokens: 48 }), none, runs({ tokens: 48, same: 48 })]);
  });
});

test("reports the library's error for a file that does not load", async () => {
  const folder = join(out, "broken");
  await mkdir(join(folder, "onnx"), { recursive: true });
  await writeFile(join(folder, "config.json"), '{ "model_type": "bert" }');
  await writeFile(join(folder, "onnx", "model_q4.onnx"), "no model");
  const library = createRequire(import.meta.url).resolve("@huggingface/transformers");
  const input = { library, folder, texts: ["a"], forcedTokens: undefined, isLarge: false };
  const outcome = await loaderJob({ ...input, dtypes: { model: "q4" } });
  expect(outcome).toMatchObject({ failed: "load", reason: expect.stringContaining("model_q4.onnx") });
  expect(await loaderJob({ ...input, dtypes: { model: "fp16" } })).toMatchObject({
    failed: "load",
    reason: expect.stringContaining("model_fp16.onnx"),
  });
});
