/** Tests which goals start the precision fallback: a stated one for every estimate beyond it, the default only for a significant loss. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { json, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();
const data = (): readonly string[] => ["--data", at("close.csv")];
const quantize = (...more: readonly string[]): string[] => [
  ...["quantize", at("close.onnx"), "--scheme", "weights", "--rounder", "nearest", ...data()],
  ...["-o", at("out.onnx"), ...more],
];

/** Number of the 200 samples between the class boundary of the original and that after rounding `fc3` to 8 bits: too few to be significant. */
const lost = 3;

beforeAll(async () => {
  const copies = JSON.stringify(Array.from({ length: 64 }, (_, row) => [row < 32 ? 1 : 0, row < 32 ? 0 : 1]));
  const kept = JSON.stringify(
    Array.from({ length: 64 }, (_, row) => Array.from({ length: 64 }, (_, column) => (row === column ? 1 : 0))),
  );
  const readOut = JSON.stringify(
    [
      [1, 0.2505],
      [0.2525, 1],
    ].map((pair) => Array.from({ length: 64 }, (_, column) => (column % 32 === 0 ? pair[column / 32] : 0))),
  );
  const text = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  fc1.weight: float32[64, 2] parameter = ${copies}
  fc2.weight: float32[64, 64] parameter = ${kept}
  fc3.weight: float32[2, 64] parameter = ${readOut}
  a = Gemm "fc1" (features, fc1.weight) {transB=1}
  b = Gemm "fc2" (a, fc2.weight) {transB=1}
  logits = Gemm "fc3" (b, fc3.weight) {transB=1}
}
`;
  await save(parseModel(text), at("close.onnx"));
  // The original answers the first class from a ratio of 1.0027 on, the rounded network from 1 on.
  const rows = Array.from({ length: 200 }, (_, row) => {
    const [ratio, label] = row % 67 === 0 ? [1.0013, 1] : row % 2 === 0 ? [1.5, 0] : [0.5, 1];
    return `${ratio},1,${label}`;
  });
  writeFileSync(at("close.csv"), `a,b,label\n${rows.join("\n")}\n`);
  writeFileSync(
    at("fallback.yaml"),
    "steps:\n  - quantize: { scheme: weights, rounder: nearest }\n    judge: fallback\n",
  );
});

describe(`a loss of ${lost} of 200 predictions, which is not significant`, () => {
  test("is written by default, with a warning", async () => {
    const report = await json(...quantize());
    expect(report).toMatchObject({ code: 0, verdict: { met: true, drop: { value: expect.closeTo(lost / 200) } } });
    expect(report.fallback).toBeUndefined();
    expect((await pith(...quantize())).err).toContain("1.0 points allowed), which is not statistically significant");
  });

  test("starts the precision fallback if it exceeds a stated goal", async () => {
    const { code, out, err } = await pith(...quantize("--max-drop", "1%"));
    expect(code, err).toBe(0);
    expect(err).toMatch(/^1\.5 points lost, 1\.0 points allowed: looking for the layers with the largest error$/m);
    expect(out).toMatch(/^kept at higher precision \(1\) to meet the goal: .*\n {2}fc3: kept in float/m);
    expect(err).not.toContain("not statistically significant");
  });

  test("is written with the reason if no layers at higher precision meet a stated goal", async () => {
    const { code, err } = await pith(...quantize("--max-drop", "1%", "--layers", "fc3"));
    expect(code, err).toBe(0);
    expect(err).toMatch(/no layers are kept at higher precision: no choice of layers keeps the goal/);
    expect(err).toContain("1.0 points allowed), which is not statistically significant");
  });

  test("starts the fallback in a folder only with a stated goal", async () => {
    mkdirSync(at("folder/onnx"), { recursive: true });
    copyFileSync(at("close.onnx"), at("folder/onnx/model.onnx"));
    writeFileSync(at("folder/config.json"), "{}");
    const variants = ["quantize", at("folder"), "--dtype", "q8", "--rounder", "nearest", ...data()];
    const written = await pith(...variants, "-o", at("default"));
    expect(written.err).toContain("1.0 points allowed), which is not statistically significant");
    const { code, out, err } = await pith(...variants, "-o", at("bound"), "--max-drop", "1%");
    expect(code, err).toBe(0);
    expect(err).toMatch(/^1\.5 points lost, 1\.0 points allowed: looking for the layers/m);
    expect(out).toContain("fc3: kept in float");
  });

  test("starts the fallback of a recipe only with a stated goal", async () => {
    const recipe = ["compress", at("close.onnx"), "-r", at("fallback.yaml"), ...data(), "-o", at("run")];
    expect((await pith(...recipe)).err).not.toContain("looking for the layers");
    expect((await pith(...recipe, "--max-drop", "1%")).err).toMatch(/allowed: looking for the layers/);
  });
});
