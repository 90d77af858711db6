/** Tests swapped models in each command that compares two. */

import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { json, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

test("reports swapped models with the command in the right order", async () => {
  const [original, result] = [at("hidden.onnx"), at("hidden.int8.onnx")];
  expect((await pith("quantize", original, "--scheme", "weights", "-o", result, "--force")).code).toBe(0);
  const pruned = at("hidden.pruned.onnx");
  expect((await pith("prune", original, "--structured", "50%", "-o", pruned, "--force")).code).toBe(0);
  const lines = (before: string, after: string) => [
    ["debug", before, after],
    ["bench", before, after, "--rounds", "1"],
    ["eval", after, "--original", before, "--data", at("points.csv")],
  ];
  for (const [index, words] of lines(result, original).entries()) {
    const { err } = await pith(...words);
    const right = (lines(original, result)[index] ?? []).filter((word) => !/^(--rounds|1|--data|.*\.csv)$/.test(word));
    expect(err).toContain(
      `swapped: "${result}" was given as the original, and looks like a result of "${original}": its weights are quantized. Did you mean: pith ${right.join(" ")}\n`,
    );
  }
  expect((await pith("debug", pruned, original)).err).toContain("its channels were cut by Pith");
  for (const [before, after] of [
    [original, result],
    [original, pruned],
    [pruned, result],
  ])
    for (const words of lines(before ?? "", after ?? "")) expect((await pith(...words)).err).not.toContain("swapped");
});

test("finds the layers of a model quantized in any format", async () => {
  for (const scheme of [
    ["--scheme", "weights"],
    ["--scheme", "dynamic"],
    ["--scheme", "float16"],
    ["--scheme", "static", "--data", at("points.csv")],
  ]) {
    const quantizeRun = await pith("quantize", at("hidden.onnx"), ...scheme, "-o", at("quantized.onnx"), "--force");
    expect(quantizeRun.code).toBe(0);
    const { layers } = await json("debug", at("hidden.onnx"), at("quantized.onnx"), "--data", at("points.csv"));
    const layerErrors = layers as { layer: string; kind: string; signalToNoise: number }[];
    expect(layerErrors.filter(({ kind }) => kind === "layer").map(({ layer }) => layer)).toEqual(["fc1", "fc2"]);
  }
});

test("grades decibels where they stand", async () => {
  const text = `opset 21
graph (x: float32[batch, 2]) -> (y: float32[batch, 64]) {
  fc1.weight: float32[64, 2] = random(seed 1)
  fc2.weight: float32[64, 64] = random(seed 2)
  h = Gemm "fc1" (x, fc1.weight) {transB=1}
  y = Gemm "fc2" (h, fc2.weight) {transB=1}
}`;
  await save(parseModel(text), at("numbers.onnx"));
  writeFileSync(at("rows.csv"), `a,b\n${Array.from({ length: 32 }, (_, row) => `${row % 5},${row % 7}`).join("\n")}\n`);
  const compared = ["--original", at("numbers.onnx"), "--data", at("rows.csv"), "--metric", "signal-to-noise"];
  const quantized = await pith("quantize", at("numbers.onnx"), "--scheme", "weights", "-o", at("numbers8.onnx"));
  const evaluated = await pith("eval", at("numbers8.onnx"), ...compared);
  for (const { out } of [quantized, evaluated])
    expect(out).toMatch(/signal to noise +[\d.]+ dB .*(good|fair|bad): an error of [\d.]+ %/);
  expect((await pith("eval", at("near.onnx"), "--data", at("points.csv"))).out).not.toContain("an error of");
});
