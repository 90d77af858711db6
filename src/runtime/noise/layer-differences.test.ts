import { expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { memory } from "../../data/index.ts";
import { simplify } from "../../rewrite/clean-up/simplify.ts";
import { factorize } from "../../techniques/factorize/index.ts";
import { quantize } from "../../techniques/quantize/index.ts";
import { compareLayers } from "./layer-differences.ts";

const engine = createEngine();
const draw = random(3, "network");
const numbers = (rows: number, columns: number): string =>
  `[${Array.from({ length: rows }, () => `[${Array.from({ length: columns }, () => draw.normal().toFixed(3)).join(", ")}]`).join(", ")}]`;
const network = `opset 17
graph (x: float32[n, 4]) -> (y: float32[n, 3]) {
  a.weight: float32[4, 6] = ${numbers(4, 6)}
  b.weight: float32[6, 3] = ${numbers(6, 3)}
  h = MatMul(x, a.weight)
  r = Relu(h)
  y = MatMul(r, b.weight)
}`;
const data = memory("rows", {
  x: float32(
    [16, 4],
    Float32Array.from({ length: 64 }, () => draw.normal()),
  ),
});

test("finds no difference between a model and itself", async () => {
  const { layers, misses } = await compareLayers(engine, parseModel(network), parseModel(network), data);
  expect(misses).toEqual([]);
  expect(layers).toEqual([
    { layer: "a", signalToNoise: Number.POSITIVE_INFINITY },
    { layer: "b", signalToNoise: Number.POSITIVE_INFINITY },
  ]);
});

test("measures noise in decibels, which later layers carry on", async () => {
  // The outputs of a are halved, so the power of the noise is a quarter of the signal's.
  const changed = parseModel(
    network
      .replace("r = Relu(h)", "c: float32[] = 1\n  r = Relu(h)")
      .replace("h = MatMul(x, a.weight)", "d: float32[] = 0.5\n  x2 = Mul(x, d)\n  h = MatMul(x2, a.weight)"),
  );
  for (const batch of [1, 5, 16]) {
    const { layers } = await compareLayers(engine, parseModel(network), changed, data, { batch });
    expect(layers.map(({ layer }) => layer)).toEqual(["a", "b"]);
    for (const { signalToNoise } of layers) {
      expect(signalToNoise).toBeCloseTo(10 * Math.log10(4), 4);
    }
  }
});

test.each([
  { scheme: "weights" },
  // Sums of products with int8 saturate on x86 processors without VNNI.
  { scheme: "dynamic", weights: "uint8" },
] as const)("finds layers after quantization: $scheme", async (options) => {
  const quantized = parseModel(network);
  await quantize(quantized, options);
  const { layers, misses } = await compareLayers(engine, parseModel(network), quantized, data);
  expect([...layers.map(({ layer }) => layer), ...misses.map(({ at }) => at)].sort()).toEqual(["a", "b"]);
  expect(layers.length).toBeGreaterThan(0);
  for (const { signalToNoise } of layers) {
    expect(signalToNoise).toBeGreaterThan(20);
    expect(signalToNoise).toBeLessThan(80);
  }
});

test("compares a layer after the nodes that were fused into it", async () => {
  const before = parseModel(`opset 17
graph (x: float32[n, 4]) -> (y: float32[n, 3]) {
  a.weight: float32[4, 3] = ${numbers(4, 3)}
  a.bias: float32[3] = [5, -5, 50]
  h = MatMul(x, a.weight)
  s = Add(h, a.bias)
  y = Relu(s)
}`);
  const after = before.clone();
  await simplify(after);
  expect([...after.graph.nodes()].map(({ op }) => op)).toEqual(["Gemm", "Relu"]);
  const { layers, misses } = await compareLayers(engine, before, after, data);
  expect(misses).toEqual([]);
  expect(layers[0]?.signalToNoise).toBeGreaterThan(100);
});

test.each(["Relu(h)", "Clip(h, low, high)"])(
  "compares dequantized outputs of a layer whose %s is part of the quantization",
  async (last) => {
    const limits = last.startsWith("Clip") ? "low: float32[] = 0\n  high: float32[] = 1\n  " : "";
    const before = parseModel(network.replace("r = Relu(h)", `${limits}r = ${last}`));
    const after = before.clone();
    await quantize(after, { scheme: "static", data });
    const names = [...after.graph.nodes()].map(({ op }) => op);
    expect(names).not.toContain(last.slice(0, 4));
    const { layers, misses } = await compareLayers(engine, before, after, data);
    expect(misses).toEqual([]);
    expect(layers.map(({ layer }) => layer)).toEqual(["a", "b"]);
    // 8 bits yield about 40 dB. A comparison with the value before the activation would yield about 0 dB.
    for (const { signalToNoise } of layers) expect(signalToNoise).toBeGreaterThan(25);
  },
);

test("skips a layer if only its quantized values are read", async () => {
  const codes = parseModel(
    network.replace(
      "r = Relu(h)",
      `s: float32[] = 0.05
  z: uint8[] = 0
  q = QuantizeLinear(h, s, z)
  m = Max(q)
  r = DequantizeLinear(m, s, z)`,
    ),
  );
  const { layers, misses } = await compareLayers(engine, parseModel(network), codes, data);
  expect(layers.map(({ layer }) => layer)).toEqual(["b"]);
  expect(misses).toMatchObject([{ at: "a", reason: "the next node computes on the layer's quantized values" }]);
});

test("does not pair values of equal names if they belong to different layers", async () => {
  const renamed = parseModel(network.replaceAll(/\bh\b/g, "q").replaceAll(/\by\b/g, "h").replaceAll(/\bq\b/g, "y"));
  const { layers, misses } = await compareLayers(engine, parseModel(network), renamed, data);
  expect(layers).toEqual([]);
  expect(misses.map(({ at }) => at).sort()).toEqual(["a", "b"]);
});

test("skips a pruned layer with the reason", async () => {
  const cut = parseModel(
    network
      .replace(/float32\[4, 6\] = .*/, `float32[4, 5] = ${numbers(4, 5)}`)
      .replace(/float32\[6, 3\] = .*/, `float32[5, 3] = ${numbers(5, 3)}`),
  );
  const { layers, misses } = await compareLayers(engine, parseModel(network), cut, data);
  expect(layers.map(({ layer }) => layer)).toEqual(["b"]);
  expect(misses).toMatchObject([{ at: "a", reason: "the output is [4, 6] in the original and [4, 5] in the model" }]);
});

test("compares layers of a model with states step by step", async () => {
  const stateful = parseModel(`opset 17
graph (x: float32[1, 4], h: float32[1, 4]) -> (y: float32[1, 4], hn: float32[1, 4]) {
  a.weight: float32[4, 4] = ${numbers(4, 4)}
  s = Add(x, h)
  y = MatMul(s, a.weight)
  hn = Tanh(y)
}`);
  const quantized = stateful.clone();
  await quantize(quantized, { scheme: "weights" });
  const comparison = await compareLayers(engine, stateful, stateful, data);
  expect(comparison.layers).toEqual([{ layer: "a", signalToNoise: Number.POSITIVE_INFINITY }]);
  const { layers, misses } = await compareLayers(engine, stateful, quantized, data);
  expect(misses).toEqual([]);
  expect(layers[0]?.signalToNoise).toBeGreaterThan(25);
  expect(layers[0]?.signalToNoise).toBeLessThan(80);
});

test("compares a layer that was split with the last of its parts", async () => {
  const factorized = parseModel(network);
  await factorize(factorized, { layers: "a", rank: 2 });
  const { layers, misses } = await compareLayers(engine, parseModel(network), factorized, data);
  expect([layers.map(({ layer }) => layer), misses]).toEqual([["a", "b"], []]);
  expect(layers[0]?.signalToNoise).toBeLessThan(40);
});

test("reports the worst column of an output whose columns have different scales", async () => {
  const text = (rating: number) => `opset 17
graph (x: float32[N, 2]) -> (regression: float32[N, 2]) {
  w: float32[2, 2] = [[100, 0], [0, ${rating}]]
  regression = MatMul(x, w)
}`;
  const { normal } = random(1, "columns");
  const rows = memory("rows", { x: float32([16, 2], Array.from({ length: 32 }, normal)) });
  const { layers } = await compareLayers(engine, parseModel(text(0.1)), parseModel(text(0)), rows);
  expect(layers[0]?.signalToNoise).toBeCloseTo(0, 3);
});
