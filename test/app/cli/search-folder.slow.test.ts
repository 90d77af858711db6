/** Tests `pith compress` of a folder with samples, which searches over all techniques for each model. */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { FolderFile } from "../../../src/app/folder/folder-run.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { outliers } from "../../outliers.ts";
import { textToText } from "../../transformers-js/small-folders.ts";
import { pith, program } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

beforeAll(async () => {
  mkdirSync(join(at("folder"), "onnx"), { recursive: true });
  await save(parseModel(outliers), join(at("folder"), "onnx", "model.onnx"));
  writeFileSync(join(at("folder"), "config.json"), "{}");
  await textToText(at("t5"));
  const { integer } = random(1, "texts");
  const line = () => Array.from({ length: 2 + integer(6) }, () => `w${1 + integer(95)}`).join(" ");
  writeFileSync(at("lines.txt"), Array.from({ length: 64 }, () => `${line()}\n`).join(""));
});

async function compress(folder: string, out: string, ...words: readonly string[]) {
  const { code, err } = await pith("compress", at(folder), ...words, "-o", out);
  const { files } = readJson(out, "quantize_config.json");
  return { code, err, files: files as Readonly<Record<string, FolderFile>> };
}

/** Runs the command in a separate process, which is killed after `killedAfter` milliseconds. @returns the duration. */
async function run(out: string, killedAfter?: number): Promise<number> {
  const words = ["compress", at("folder"), "--data", at("points.csv"), "--max-drop", "2%", "--for", "size"];
  const begun = performance.now();
  const child = spawn(process.execPath, [program, ...words, "--steps", "8", "-o", out], { stdio: "ignore" });
  const timer = killedAfter === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killedAfter);
  const code = await new Promise((resolve) => child.on("close", resolve));
  clearTimeout(timer);
  if (killedAfter === undefined) expect(code).toBe(0);
  return performance.now() - begun;
}

const readJson = (...path: readonly string[]) => JSON.parse(readFileSync(join(...path), "utf8"));

test("replaces the original by the result of the search, whose recipe gives the same file", async () => {
  const [out, again] = [at("searched"), at("again")];
  const data = ["--data", at("points.csv"), "--max-drop", "2%"];
  const { code, err, files } = await compress("folder", out, ...data, "--for", "size", "--steps", "8");
  expect(code, err).toBe(0);
  expect(files).toEqual({ "onnx/model.onnx": expect.objectContaining({ dtype: "searched" }) });
  expect(readdirSync(join(out, "onnx"))).toEqual(["model.onnx"]);
  const result = readFileSync(join(out, "onnx", "model.onnx"));
  expect(files["onnx/model.onnx"]?.bytes).toBe(result.length);
  expect(readJson(out, "config.json")["transformers.js_config"]).toEqual({ dtype: { model: "fp32" } });
  writeFileSync(at("recipe.yaml"), files["onnx/model.onnx"]?.recipe?.text ?? "");
  const model = join(at("folder"), "onnx", "model.onnx");
  const repeated = await pith("compress", model, ...data, "-r", at("recipe.yaml"), "--force", "-o", again);
  expect(repeated.code, repeated.err).toBe(0);
  expect(readFileSync(join(again, "model.onnx"))).toEqual(result);
  expect(readdirSync(join(out, "search", "model"))).toContain("report.html");
});

test("searches encoder and decoder on their inputs while both generate texts", async () => {
  const out = at("t5.compressed");
  const words = ["--text", at("lines.txt"), "--for", "size", "--steps", "12", "--techniques", "quantize"];
  const { code, err, files } = await compress("t5", out, ...words);
  expect(code, err).toBe(0);
  expect(err).toContain("12 candidates, among 2 models by their bytes");
  // A dtype that keeps most of the tokens can be smaller than the result of the search.
  const kept = Object.entries(files).filter(([name]) => name.startsWith("onnx/encoder_model"));
  expect(kept).toEqual([
    [expect.any(String), expect.objectContaining({ loader: expect.objectContaining({ outcome: "runs" }) })],
  ]);
  for (const [name, { bytes }] of kept) expect(readFileSync(join(out, name)).length).toBe(bytes);
  for (const base of ["encoder_model", "decoder_model_merged"]) {
    const run = readJson(out, "search", base, "run.json");
    expect(run.metric.name).toBe(base === "encoder_model" ? "cosine" : "agreement");
    expect(run.search.points.length).toBeGreaterThan(2);
  }
  const { dtype } = readJson(out, "config.json")["transformers.js_config"];
  expect(dtype).toMatchObject({
    encoder_model: expect.stringMatching(/./),
    decoder_model_merged: expect.stringMatching(/./),
  });
});

test("tries only the dtypes with few texts, and logs it", async () => {
  const out = at("few");
  const { code, err, files } = await compress("t5", out, "--text", "w1 w2", "--for", "size");
  expect(code, err).toBe(0);
  expect(err).toContain("1 text: only the dtypes are tried. 16 or more texts allow a search over all techniques");
  expect(Object.values(files).map(({ dtype }) => dtype)).not.toContain("searched");
});

let fullMilliseconds: number | undefined;
test.each([0.3, 0.6, 0.9])("gives the same files after a kill at a share of %f of the time", async (share) => {
  fullMilliseconds ??= await run(at("whole"));
  const out = at(`killed-${share}`);
  await run(out, share * fullMilliseconds);
  await run(out);
  expect(readFileSync(join(out, "onnx", "model.onnx"))).toEqual(readFileSync(join(at("whole"), "onnx", "model.onnx")));
  expect(readdirSync(join(out, "onnx"))).toEqual(readdirSync(join(at("whole"), "onnx")));
});
