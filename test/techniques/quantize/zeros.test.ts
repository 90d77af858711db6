/** Zeros of a pruned weight stay zero in every format; steps with files in between equal one recipe. */

import { float32 } from "pith";
import { memory } from "pith/data";
import { parseModel } from "pith/extend";
import { prune, remove } from "pith/prune";
import { type QuantizeOptions, quantize } from "pith/quantize";
import { describe, expect, test } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { mlp, numbersFor, reopened, run, stored } from "./networks.ts";

const [inputs, outputs] = [64, 24];
const network = (): Model =>
  parseModel(`opset 21
graph (x: float32[batch, ${inputs}]) -> (y: float32[batch, ${outputs}]) {
  fc.weight: float32[${inputs}, ${outputs}] = random(seed 1)
  y = MatMul(x, fc.weight)
}`);

/** Inputs are unit vectors, so the outputs are the weight. */
const units = float32(
  [inputs, inputs],
  Array.from({ length: inputs ** 2 }, (_, at) => (at % (inputs + 1) === 0 ? 1 : 0)),
);
const samples = numbersFor([128, inputs]);
const data = memory("x", {
  x: float32([256, inputs], [...units.data, ...samples.data, ...units.data].slice(0, 256 * inputs)),
});

async function pruned(): Promise<Model> {
  const model = network();
  await prune(model, { amount: 0.5 });
  await remove(model);
  return model;
}

const weights = { scheme: "weights" } as const;
const forms: readonly QuantizeOptions[] = [
  weights,
  { ...weights, weights: "uint8" },
  { ...weights, perChannel: false },
  { ...weights, perChannel: false, zeroPoints: true },
  { ...weights, block: 32 },
  { ...weights, block: 32, zeroPoints: true },
  ...([6, 5, 3] as const).map((bits) => ({ ...weights, bits })),
  ...([4, 2] as const).flatMap((bits) => [
    { ...weights, bits },
    { ...weights, bits, zeroPoints: true },
    ...(["mse", "gptq"] as const).map((rounder) => ({ ...weights, bits, rounder })),
    { ...weights, bits, zeroPoints: true, rounder: "gptq" },
  ]),
  { ...weights, bits: 4, onnxOnly: true },
  { ...weights, bits: 4, onnxOnly: true, rounder: "gptq" },
  { ...weights, rounder: "gptq" },
  { ...weights, bits: 3, rounder: "gptq" },
  ...([2, 3, 4, 8] as const).map((bits) => ({ ...weights, weights: "palette" as const, bits })),
  { scheme: "dynamic" },
  { scheme: "static" },
  { scheme: "static", bits: 4 },
  { scheme: "static", rounder: "gptq" },
  ...(["weights", "dynamic", "static"] as const).map((scheme) => ({ scheme, rounder: "rdoq" as const })),
  { scheme: "float16" },
  { scheme: "bfloat16" },
];

describe("pruned weights stay zero with", () => {
  test.each(forms)("%j", async (options) => {
    const before = await stored(await pruned(), "fc.weight");
    const model = await pruned();
    const { changes } = await quantize(model, { ...options, data });
    expect(changes.length).toBeGreaterThan(0);
    const outputValues = await run(await reopened(model), { x: units }, { optimize: false });
    const zeros = [...before.data].flatMap((value, at) => (Number(value) === 0 ? at : []));
    expect(zeros.length).toBe((inputs * outputs) / 2);
    // Kernels subtract the zero points from sums, whose last digits differ.
    const nothing = (value = 1): boolean => Math.abs(value) < 1e-6;
    expect(zeros.filter((at) => !nothing(outputValues[at]))).toEqual([]);
    expect(outputValues.filter(nothing).length).toBeLessThan(inputs * outputs);
  });
});

test("equalization of activations into pruned weights keeps their zeros", async () => {
  const text = `opset 21
graph (x: float32[batch, 32]) -> (y: float32[batch, 8]) {
  gamma: float32[32] = [${Array.from({ length: 32 }, (_, at) => (at % 16 === 3 ? 12 : 0.5)).join(", ")}]
  beta: float32[32] = random(seed 4, from -1 to 1)
  fc.weight: float32[32, 8] = random(seed 1)
  n = LayerNormalization (x, gamma, beta) {axis=-1}
  y = MatMul (n, fc.weight)
}`;
  const model = parseModel(text);
  await prune(model, { amount: 0.5 });
  await remove(model);
  const [before, gamma] = [await stored(model, "fc.weight"), await stored(model, "gamma")];
  const x = numbersFor([64, 32]);
  const lowBitOptions = { ...weights, bits: 4, onnxOnly: true, rounder: "gptq" } as const;
  await quantize(model, { ...lowBitOptions, data: memory("x", { x }) });
  expect(await stored(model, "gamma")).not.toEqual(gamma);
  const codes = await stored(model, "fc.weight_quantized");
  const numbers = [...codes.data].flatMap((byte) => [Number(byte) & 15, Number(byte) >> 4]);
  const kept = [...before.data].flatMap((value, at) => (Number(value) === 0 ? at : []));
  expect(kept.filter((at) => numbers[at] !== 0)).toEqual([]);
});

test("gives the same result in separate steps with files in between", async () => {
  const x = numbersFor([64, 12]);
  const both = [{ amount: 0.5 }, { ...weights, bits: 4, rounder: "gptq", data: memory("x", { x }) }] as const;
  const [once, parts] = [mlp(), mlp()];
  await prune(once, both[0]);
  await remove(once);
  await quantize(once, both[1]);
  await prune(parts, both[0]);
  const masked = await reopened(parts);
  await remove(masked);
  const plain = await reopened(masked);
  await quantize(plain, both[1]);
  expect(await run(await reopened(plain), { x })).toEqual(await run(once, { x }));
  expect((await encodeToBytes(plain)).length).toBe((await encodeToBytes(once)).length);
});
