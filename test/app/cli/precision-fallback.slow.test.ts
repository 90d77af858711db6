/** Tests folders whose variants keep layers at higher precision. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { FolderFile } from "../../../src/app/folder/folder-run.ts";
import { quantizeFolder } from "../../../src/app/folder/quantize-folder.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { decoder, outliers, withOutliers } from "../../outliers.ts";
import { writeVocabulary } from "../folder/small-vocabulary.ts";
import { given } from "./model-folders.ts";
import { ruinedModel } from "./ruined.ts";
import { json, pith } from "./run.ts";

const { at, folder, data, words } = ruinedModel();

describe("a layer that quantization ruins", () => {
  test("stays at higher precision in compress of a folder if the result is the smallest", async () => {
    const model = await given(folder, "compressed", withOutliers(60), "config.json");
    const out = join(folder, "smallest");
    const { files } = await json("compress", model, "--for", "size", "-o", out);
    const rows = files as readonly FolderFile[];
    expect(rows.filter(({ verdict }) => verdict === "kept")).toEqual([
      expect.objectContaining({
        dtype: expect.stringMatching(/^q4/),
        preciseLayers: [expect.stringMatching(/^fc2: kept at 8 bits; it causes/)],
      }),
    ]);
    expect(readFileSync(join(out, "README.md"), "utf8")).toMatch(
      /^model_q4\w*\.onnx meets the check only with .* fc2: kept at 8 bits; it causes/m,
    );
  });
});

test("keeps layers at higher precision if tokens are lost on text that the model generated, unless --no-fallback", async () => {
  const model = await given(folder, "decoder", decoder);
  await writeVocabulary(model);
  writeFileSync(join(model, "config.json"), "{}");
  writeFileSync(at("lines.txt"), "red greens a b\nblue reds\ngrey\n");
  const line = ["quantize", model, "--dtype", "q8", "--text", at("lines.txt"), "-o", join(folder, "decoder.web")];
  const { code, out, err } = await pith(...line);
  expect(code, err).toBe(0);
  expect(err).toContain("the most likely next token is the original's at only 0 of 512 positions: ");
  expect(out).toMatch(/^model_quantized\.onnx meets the check only with \d layers? .* head: kept in float; /m);
  const rejected = await pith(...line, "--no-fallback");
  expect(rejected).toMatchObject({
    code: 1,
    out: expect.stringMatching(
      /rejected: model_quantized\.onnx: The most likely next token is the original's at only 0 of 512 positions/,
    ),
  });
});

describe("a layer that quantization ruins", () => {
  test("stays in float in a folder's variant, which is then written", async () => {
    const model = await given(folder, "folder", outliers);
    const [row] = await quantizeFolder(model, { dtypes: ["q4"], out: join(folder, "made") });
    expect(row).toMatchObject({
      verdict: "kept",
      preciseLayers: [expect.stringMatching(/^fc2: kept in float; it causes/)],
    });
    const { out } = await pith("quantize", model, "--dtype", "q8", "-o", join(folder, "printed"));
    expect(out).toMatch(
      /^model_quantized\.onnx meets the check only with 1 layer at higher precision than its dtype: fc2: kept in float/m,
    );
    expect(readdirSync(join(folder, "printed", "onnx"))).toContain("model_quantized.onnx");
  });
});

describe("a layer that quantization ruins", () => {
  test.each(["static", "dynamic"])("is the only layer at higher precision in %s, also in --json", async (scheme) => {
    const report = await json(...words("--scheme", scheme, "--max-drop", "1%", ...data()));
    expect(report).toMatchObject({
      code: 0,
      fallback: {
        preciseLayers: [{ layer: "fc2", share: expect.closeTo(1, 1) }],
        attempts: [{ layers: 1 }],
        searched: expect.any(Number),
      },
      verdict: { met: true },
    });
    const { misses } = report as { readonly misses: readonly { readonly at: string; readonly reason: string }[] };
    expect(misses.find((miss) => miss.at === "fc2")?.reason).toMatch(/^kept in float; it causes/);
  });
});

test("keeps at most two of three layers at higher precision, and rejects weights that are quantized already", async () => {
  const text = `opset 17
graph (x: float32[batch, 64]) -> (y: float32[batch, 8]) {
  fc1.weight: float32[64, 64] = random(seed 1)
  fc2.weight: float32[64, 64] = random(seed 2)
  fc3.weight: float32[64, 8] = random(seed 3)
  h1 = MatMul(x, fc1.weight)
  r1 = Relu(h1)
  h2 = MatMul(r1, fc2.weight)
  r2 = Relu(h2)
  y = MatMul(r2, fc3.weight)
}`;
  await save(parseModel(text), at("three.onnx"));
  const { out } = await pith("quantize", at("three.onnx"), "--scheme", "weights", "--bits", "2", "-o", at("two.onnx"));
  expect(out).toMatch(/^kept at higher precision to meet the goal \(2 layers, .*, 1 attempt\):$/m);
  const again = await pith("quantize", at("two.onnx"), "--scheme", "weights", "-o", at("again.onnx"));
  expect(again).toMatchObject({
    code: 1,
    out: "",
    err: "E_UNSUPPORTED: All weights are quantized already.\nhint: Use the float model that they were made from.\n",
  });
  const half = await pith("quantize", at("two.onnx"), "--scheme", "float16", "-o", at("half.onnx"));
  expect(half.err).not.toContain("All weights are quantized already");
});

describe("--target-size", () => {
  test("chooses bits with the given rounding method", async () => {
    const report = await json(...words("--target-size", "22kB", "--force", "--rounder", "mse"));
    expect(report).toMatchObject({ code: 0 });
    expect(statSync(at("out.onnx")).size).toBeLessThanOrEqual(22_000);
  });
});
