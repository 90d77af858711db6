/** Statistics that a search reuses while it quantizes one model with other layers in float. */
import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { completeContext } from "../../../src/core/pass/run-pass.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Dataset } from "../../../src/data/batches/dataset.ts";
import { memory } from "../../../src/data/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";

const model = parseModel(`opset 21
graph (x: float32[batch, 16]) -> (y) {
  gamma: float32[16] = random(seed 1, from 0.5 to 1.5)
  beta: float32[16] = random(seed 2, from -0.5 to 0.5)
  up.weight: float32[16, 24] = random(seed 3)
  down.weight: float32[24, 8] = random(seed 4)
  n = LayerNormalization (x, gamma, beta) {axis=-1}
  u = MatMul "up" (n, up.weight)
  r = Relu (u)
  y = MatMul "down" (r, down.weight)
}`);

const numbers = random(5);
const values = Float32Array.from({ length: 40 * 16 }, () => numbers.normal());
const samples = (): Dataset => memory("rows", { x: float32([40, 16], values) });

const normalizedText = `opset 21
graph (x: float32[batch, 16]) -> (y) {
  up.weight: float32[96, 2, 1] = random(seed 3)
  down.weight: float32[16, 96, 1] = random(seed 4)
  out.weight: float32[4, 16, 1] = random(seed 6)
  scale: float32[96] = random(seed 7, from 0.5 to 1.5)
  shift: float32[96] = random(seed 8)
  mean: float32[96] = random(seed 9)
  variance: float32[96] = random(seed 10, from 0.5 to 1.5)
  image: int64[3] = [0, 2, 8]
  i = Reshape (x, image)
  u = Conv "up" (i, up.weight)
  n = BatchNormalization (u, scale, shift, mean, variance)
  r = Relu (n)
  d = Conv "down" (r, down.weight)
  q = Relu (d)
  y = Conv "out" (q, out.weight)
}`;
const normalized = parseModel(normalizedText);

async function quantized(
  data: Dataset,
  float: readonly string[] = ["up"],
  of = model,
): Promise<{ readonly bytes: Uint8Array; readonly sessions: number; readonly products: number }> {
  const { engine } = completeContext();
  let [sessions, products] = [0, 0];
  const counting = {
    ...engine,
    load: (...given: Parameters<typeof engine.load>) => {
      sessions++;
      if (given[0].graph.value("product") !== undefined) products++;
      return engine.load(...given);
    },
  };
  const result = of.clone();
  const overrides = Object.fromEntries(float.map((name) => [name, { float: true }]));
  await quantize(result, { scheme: "static", data, overrides }, { engine: counting });
  return { bytes: await encodeToBytes(result), sessions, products };
}

test("gives the same bytes with statistics of an earlier attempt, from fewer runs", async () => {
  const alone = await quantized(samples());
  const data = samples();
  await quantize(model.clone(), { scheme: "static", data });
  const after = await quantized(data);
  expect(after.bytes).toEqual(alone.bytes);
  expect(after.sessions).toBeLessThan(alone.sessions);
});

test("measures nothing again if a layer before a batch normalization stays in float", async () => {
  const data = samples();
  await quantized(data, [], normalized);
  const first = await quantized(data, ["up"], normalized);
  const again = await quantized(data, ["up"], normalized);
  expect(first.sessions).toBe(again.sessions);
  expect(first.bytes).toEqual(again.bytes);
  expect(first.bytes).toEqual((await quantized(samples(), ["up"], normalized)).bytes);
});

/** A network in which some inputs of a layer have large values, so that factors for its inputs gain. */
const uneven = parseModel(
  normalizedText.replace(
    "random(seed 7, from 0.5 to 1.5)",
    `[${Array.from({ length: 96 }, (_, channel) => (channel % 16 === 0 ? 40 : 1))}]`,
  ),
);

test("chooses the factors of a layer's inputs once", async () => {
  const products = async (data: Dataset) => (await quantized(data, ["out"], uneven)).products;
  const data = samples();
  expect(await products(data)).toBeGreaterThan(0);
  expect(await products(data)).toBe(0);
});
