/** The choice of the batch size for evaluations. */
import { expect, test } from "vitest";
import { createEngine, type Engine } from "../../src/core/engine/index.ts";
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
  expect(choice).toMatchObject({ batch: 1, note: expect.stringMatching(/they differ by up to \d\.\d+ %/) });
});

test("runs no model that differs in weights only from one whose outputs do not depend on the batch", async () => {
  const modelOf = (seed: number, op = "MatMul(x, w)") =>
    parseModel(
      `opset 21 graph (x: float32[n, 16]) -> (y: float32[n, 16]) { w: float32[16, 16] = random(seed ${seed}) y = ${op} }`,
    );
  let loads = 0;
  const counting: Engine = { load: (...request) => engine.load(...request).finally(() => loads++) };
  const data = memory("x", { x: float32([32, 16], new Float32Array(512).fill(1)) });
  for (const model of [modelOf(1), modelOf(2), modelOf(1)]) await chooseBatch(counting, [model], data, "R²");
  expect(loads).toBe(1);
  await chooseBatch(counting, [modelOf(1, "Softmax(x) {axis=0}")], data, "R²");
  expect(loads).toBe(2);
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
