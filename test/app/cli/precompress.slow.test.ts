/** Sends Ctrl-C to the real program after it has saved a result with compressed copies. */
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { isCopy, wide } from "./precompressed.ts";
import { json, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";
import { runUntilMark } from "./stopped.ts";

const { at } = smallModels();
const copies = ["--precompress", "gzip,br"];

test("keeps the complete result with its copies if it is stopped after it is written", async () => {
  const folder = temporaryFolder();
  const [source, out] = [join(folder, "wide.onnx"), join(folder, "small.onnx")];
  const wide = `opset 21
graph (x: float32[n, 2048]) -> (y: float32[n, 2048]) {
  w: float32[2048, 2048] = random(seed 1)
  y = MatMul(x, w)
}`;
  await save(parseModel(wide), source);
  const words = ["quantize", source, "--scheme", "weights", "--precompress", "br", "-o", out];
  const { code, err } = await runUntilMark(out, "SIGINT", words);
  expect(code).toBe(130);
  expect(err).toContain(`"${out}" is complete.`);
  expect(readdirSync(folder).toSorted()).toEqual(["small.onnx", "small.onnx.br", "wide.onnx"]);
  expect((await open(out)).graph.nodeCount).toBe(2);
  expect(statSync(out).size).toBeGreaterThan(2 ** 22);
});

describe("--precompress", () => {
  test("writes copies of a recipe's result, which a later run without the flag removes", async () => {
    const recipe = at("recipe.yaml");
    writeFileSync(recipe, "steps:\n  - quantize: { scheme: weights }\n");
    const out = at("run");
    const words = ["compress", at("hidden.onnx"), "-r", recipe, "--data", at("points.csv"), "--force", "-o", out];
    const run = await json(...words, ...copies);
    const model = at("run/model.onnx");
    expect(isCopy(model)).toBe(true);
    const [{ result }] = run.variants as [{ result: object }];
    expect(result).toMatchObject({ gzip: statSync(`${model}.gz`).size, brotli: statSync(`${model}.br`).size });
    await json(...words);
    expect(readdirSync(out).filter((name) => name.startsWith("model"))).toEqual(["model.onnx"]);
  });

  test("writes copies of each variant in a folder, and its table shows their sizes", async () => {
    await mkdir(at("web/onnx"), { recursive: true });
    await save(parseModel(wide), at("web/onnx/model.onnx"));
    writeFileSync(at("web/config.json"), "{}");
    const { out: text } = await pith("quantize", at("web"), "--dtype", "q8,q4", ...copies, "-o", at("web.out"));
    for (const name of ["model_quantized.onnx", "model_q4.onnx"]) expect(isCopy(at(`web.out/onnx/${name}`))).toBe(true);
    expect(existsSync(at("web.out/onnx/model.onnx.gz"))).toBe(false);
    expect(text).toMatch(/^dtype +file +size +gzip +brotli /m);
    expect(text).toContain(
      "\nCompressed copies for servers: model_quantized.onnx (.gz, .br) and model_q4.onnx (.gz, .br).\n",
    );
  });
});
