/**
 * Bias correction compensates in scales and biases for the slope and the mean of outputs that rounding changes. It must reduce errors on samples outside
 * the calibration data.
 */
import { expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { memory } from "../../../src/data/index.ts";
import { addOutputBias } from "../../../src/techniques/calibrate/add-output-bias.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { difference, numbersFor, run } from "./networks.ts";

const network = `opset 21
graph (x: float32[batch, 3, 8, 8]) -> (y) {
  a.weight: float32[8, 3, 3, 3] = random(seed 1)
  a.bias: float32[8] = random(seed 2)
  b.weight: float32[8, 8, 3, 3] = random(seed 3)
  b.bias: float32[8] = random(seed 4)
  c.weight: float32[5, 8] = random(seed 5)
  c.bias: float32[5] = random(seed 6)
  h = Conv "a" (x, a.weight, a.bias) {pads=[1, 1, 1, 1]}
  r = Relu (h)
  k = Conv "b" (r, b.weight, b.bias) {pads=[1, 1, 1, 1]}
  s = Relu (k)
  g = GlobalAveragePool (s)
  f = Flatten (g)
  y = Gemm "c" (f, c.weight, c.bias) {transB=1}
}`;

async function rounded(options: Partial<QuantizeOptions>, count = 128, text = network) {
  const x = numbersFor([count, 3, 8, 8], 5);
  const model = parseModel(text);
  const seen = { x: numbersFor([64, 3, 8, 8], 6) };
  const before = await run(model, seen);
  const { changes } = await quantize(model, { scheme: "static", data: memory("x", { x }), bits: 4, ...options });
  const corrected = changes.filter(({ at }) => at === "bias correction");
  return { error: difference(before, await run(model, seen)), corrected, model };
}

test("halves the error of low-bit quantization on other samples", async () => {
  const withoutCorrection = await rounded({ biasCorrection: "none" });
  const withCorrection = await rounded({});
  expect(withoutCorrection.corrected).toEqual([]);
  expect(withCorrection.corrected).toMatchObject([
    { what: expect.stringMatching(/^biases of \d layers? corrected: \d+ % less error/) },
  ]);
  expect(withCorrection.error).toBeLessThan(withoutCorrection.error / 2);
});

test.each([{ onnxOnly: true, block: 16 }, {}] as const)(
  "corrects biases if only the weights are quantized: %o",
  async (form) => {
    const options = { scheme: "weights", bits: 4, rounder: "nearest", ...form } as const;
    const withoutCorrection = await rounded({ ...options, biasCorrection: "none" });
    const withCorrection = await rounded(options);
    expect(withCorrection.corrected).toHaveLength(1);
    expect(withCorrection.error).toBeLessThan(withoutCorrection.error);
  },
);

test("restores the slope of outputs if rounding makes all weights smaller, for inputs of mean 0", async () => {
  const rows = [1, -1].map((sign) => [7, ...new Array<number>(8).fill(1.45)].map((weight) => sign * weight));
  const text = `opset 21
graph (x: float32[batch, 9]) -> (y) {
  c.weight: float32[2, 9] = [${rows.map((row) => `[${row}]`)}]
  c.bias: float32[2] = [1, 2]
  y = Gemm "c" (x, c.weight, c.bias) {transB=1}
}`;
  const samples = (count: number, seed: number) => {
    const x = numbersFor([count, 9], seed);
    return { ...x, data: x.data.map((value, index) => (index % 9 === 0 ? 0 : Number(value))) };
  };
  const errorWith = async (biasCorrection: "none" | "full") => {
    const model = parseModel(text);
    const seen = { x: samples(64, 6) };
    const before = await run(model, seen);
    await quantize(model, { scheme: "static", bits: 4, biasCorrection, data: memory("x", { x: samples(128, 5) }) });
    return difference(before, await run(model, seen));
  };
  expect(await errorWith("full")).toBeLessThan((await errorWith("none")) / 4);
});

test("keeps the scales of channels whose signal rounding loses", async () => {
  const weights = [1, -1].map((sign) => [1000, 4.5 * sign, ...new Array<number>(7).fill(3.5 * sign)]);
  const text = `opset 21
graph (x: float32[batch, 9]) -> (y) {
  c.weight: float32[2, 9] = [${weights.map((row) => `[${row}]`)}]
  c.bias: float32[2] = [1, 2]
  y = Gemm "c" (x, c.weight, c.bias) {transB=1}
}`;
  const x = numbersFor([128, 9], 5);
  const data = x.data.map((value, index) => (index % 9 === 0 ? 0 : Number(value) + 1));
  const scalesWith = async (biasCorrection: "none" | "full") => {
    const model = parseModel(text);
    await quantize(model, { scheme: "static", biasCorrection, data: memory("x", { x: { ...x, data } }) });
    const layer = layers(model, infer(model))[0];
    const scale = layer?.node.inputs[layer.role.input]?.producer?.inputs[1];
    return (await scale?.tensor?.read())?.data;
  };
  expect(await scalesWith("full")).toEqual(await scalesWith("none"));
});

test("a bias near the end of int32 keeps its sign", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 1]) -> (y) {
  c.weight: float32[1, 1] = [[1]]
  codes: int32[1] = [2147268890]
  scale: float32[1] = [1e-9]
  c.bias = DequantizeLinear (codes, scale) {axis=0}
  y = Gemm "c" (x, c.weight, c.bias)
}`);
  const layer = layers(model, infer(model))[0];
  if (layer === undefined) throw new Error("The network has no layer.");
  await addOutputBias(model, layer, undefined, Float64Array.of(0.01));
  const [y] = await run(model, { x: { type: "float32", dims: [1, 1], data: new Float32Array(1) } });
  expect(y).toBeCloseTo(2.147, 2);
});

test("changes no bias with few samples, or if weights are exact", async () => {
  expect((await rounded({}, 24)).corrected).toEqual([]);
  expect((await rounded({ scheme: "weights", bits: 8, rounder: "nearest" }, 24)).corrected).toEqual([]);
});

test("adds no bias to a layer in integer arithmetic", async () => {
  const text = network.replace(/ {2}b\.bias.*\n/, "").replace(", b.bias)", ")");
  const { model } = await rounded({}, 128, text);
  expect(layers(model, infer(model)).map(({ name, bias }) => [name, bias !== undefined])).toEqual([
    ["a", true],
    ["b", false],
    ["c", true],
  ]);
});

test("corrects a bias that two layers share separately for each layer", async () => {
  const text = network.replace(/ {2}b\.bias.*\n/, "").replace("b.weight, b.bias", "b.weight, a.bias");
  const without = await rounded({ biasCorrection: "none" }, 128, text);
  expect((await rounded({}, 128, text)).error).toBeLessThan(without.error);
});

test("reads activations with many positions of fewer samples", async () => {
  const text = `opset 21
graph (x: float32[batch, 1, 64, 64]) -> (y) {
  a.weight: float32[2, 1, 3, 3] = random(seed 1)
  a.bias: float32[2] = random(seed 2)
  b.weight: float32[3, 2] = random(seed 5)
  b.bias: float32[3] = random(seed 6)
  h = Conv "a" (x, a.weight, a.bias)
  r = Relu (h)
  g = GlobalAveragePool (r)
  f = Flatten (g)
  y = Gemm "b" (f, b.weight, b.bias) {transB=1}
}`;
  const rows = new Map<string, number>();
  const native = createEngine();
  const engine: typeof native = {
    async load(model, options) {
      const session = await native.load(model, options);
      const run: typeof session.run = async (feeds, fetch) => {
        const outputs = await session.run(feeds, fetch);
        for (const [name, { dims }] of Object.entries(outputs)) rows.set(name, (rows.get(name) ?? 0) + (dims[0] ?? 0));
        return outputs;
      };
      return { run, release: () => session.release() };
    },
  };
  const data = memory("x", { x: numbersFor([64, 1, 64, 64], 5) });
  await quantize(parseModel(text), { scheme: "static", bits: 4, data }, { engine });
  // Both models read 8 samples for the first layer, and all 48 that are not held out for the second.
  expect(rows.get("h")).toBeLessThanOrEqual(48);
  expect(rows.get("y")).toBeGreaterThanOrEqual(2 * 48);
});
