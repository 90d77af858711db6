/** The choice of the batch size for evaluations. */
import { expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { parseModel } from "../../src/core/graph/text-parse.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { random } from "../../src/core/tensor/random.ts";
import { memory } from "../../src/data/index.ts";
import { chooseBatch } from "../../src/judge/compare/batch-dependence.ts";
import { agreement, compare } from "../../src/judge/index.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";

const engine = createEngine();

test("measures a dynamically quantized model by single samples, although outputs hardly depend on batches", async () => {
  const numbers = random(0, "rows");
  const data = memory("x", {
    x: float32(
      [32, 16],
      Float32Array.from({ length: 512 }, () => numbers.normal()),
    ),
  });
  const model = parseModel(`opset 21 graph (x: float32[n, 16]) -> (y: float32[n, 8]) {
  w: float32[16, 8] = random(seed 1)
  y = MatMul(x, w)
}`);
  const dynamic = model.clone();
  await quantize(dynamic, { scheme: "dynamic" });
  expect(await chooseBatch(engine, [model], data, "R²")).toMatchObject({ batch: 64, note: undefined });
  const choice = await chooseBatch(engine, [dynamic], data, "R²");
  expect(choice).toMatchObject({ batch: 1, note: expect.stringMatching(/differ by up to \d\.\d+ %/) });
});

test("finds a dependence on the batch that only the weights cause, after a model of the same operators without it", async () => {
  const mixing = (share: number) =>
    parseModel(`opset 21 graph (x: float32[n, 2]) -> (y: float32[n, 2]) {
  share: float32[1] = [${share}]
  rows: int64[1] = [0]
  mean = ReduceMean(x, rows) {keepdims=1}
  part = Mul(mean, share)
  y = Add(x, part)
}`);
  const data = memory("x", {
    x: float32(
      [32, 2],
      Float32Array.from({ length: 64 }, (_, at) => Math.sin(at)),
    ),
  });
  const batches: number[] = [];
  for (const share of [0, -1]) batches.push((await chooseBatch(engine, [mixing(share)], data, "R²")).batch);
  expect(batches).toEqual([64, 1]);
});

test("draws the same random numbers in both models, and mentions the fixed seeds", async () => {
  const model = parseModel(`opset 21 graph (x: float32[n, 16]) -> (y: float32[n, 8]) {
  w: float32[16, 8] = random(seed 1)
  v: float32[16, 16] = random(seed 2)
  h = MatMul(x, v)
  noise = RandomNormalLike(h) {scale=3.5}
  z = Add(h, noise)
  y = MatMul(z, w)
}`);
  const result = model.clone();
  await quantize(result, { scheme: "dynamic" });
  const data = memory("x", {
    x: float32(
      [100, 16],
      Float32Array.from({ length: 1600 }, (_, at) => Math.sin(at)),
    ),
  });
  const { note } = await chooseBatch(engine, [result], data, "agreement");
  expect(note).toMatch(/^The model draws random numbers: both models draw the same ones/);
  const { candidate } = await compare(engine, model, result, data, agreement());
  expect(candidate.value).toBeGreaterThan(0.9);
});
