/** Channels of a quantized network are ranked by dequantized weights, as those of the float network. */
import { expect, test } from "vitest";
import { originalChannelsOf } from "../../../src/core/analysis/provenance.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { customFromMask, prune } from "../../../src/techniques/prune/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";

/**
 * Channel by channel, the largest weight is 4, 0.5, 2, 0.9, 8, 0.25: with per-channel scales each becomes 127. The integers rank
 * the channels by how even their weights are, which is another order. After it a vector tells which channels are left.
 */
const text = `opset 21
graph (x: float32[batch, 3]) -> (y: float32[batch, 2]) {
  fc1.weight: float32[6, 3] = [4, 0.4, -0.2, 0.5, -0.5, 0.5, 2, 1, 0, 0.9, 0.9, -0.9, -8, 0, 0, 0.25, 0.2, 0.25]
  number: float32[6] = [1, 2, 3, 4, 5, 6]
  fc2.weight: float32[2, 6] = [1, -1, 2, -2, 3, -3, 0.5, 1.5, -2.5, 3, 1, 2]
  h = Gemm "fc1" (x, fc1.weight) {transB=1}
  n = Mul (h, number)
  y = Gemm "fc2" (n, fc2.weight) {transB=1}
}`;

/** Returns the numbers of the channels that remain in fc1. */
async function left(model: Model, options: { readonly scope: "uniform" | "global" }) {
  const { changes } = await prune(model, { structured: 0.5, layers: "fc1", ...options });
  expect(changes).toHaveLength(1);
  expect(verify(model)).toEqual([]);
  const number = model.graph.value("number")?.tensor;
  return number === undefined ? [] : toNumbers(await number.read());
}

for (const scope of ["uniform", "global"] as const) {
  test(`${scope}: removes the same channels of quantized and float weights`, async () => {
    expect(await left(parseModel(text), { scope })).toEqual([1, 3, 5]);
    for (const perChannel of [true, false]) {
      const quantized = parseModel(text);
      await quantize(quantized, { scheme: "weights", perChannel, layers: "fc1" });
      expect(await left(quantized, { scope }), `perChannel ${perChannel}`).toEqual([1, 3, 5]);
      const dynamic = parseModel(text);
      await quantize(dynamic, { scheme: "dynamic", perChannel, layers: "fc1" });
      expect(await left(dynamic, { scope }), `dynamic, perChannel ${perChannel}`).toEqual([1, 3, 5]);
    }
  });
}

test("removes the same channels of packed blocks and float weights", async () => {
  const model = parseModel(text);
  await quantize(model, { scheme: "weights", bits: 8, block: 16, layers: "fc1" });
  expect(model.graph.value("fc1.weight_quantized")?.tensor?.dims).toEqual([6, 1, 16]);
  expect(await left(model, { scope: "uniform" })).toEqual([1, 3, 5]);
});

test("skips integers without a known scale, with the reason", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 4]) -> (y: float32[batch, 2]) {
  fc1.weight: uint8[4, 6] = random(seed 1, from 0 to 255)
  one: int32[] = 1
  fc2.weight: float32[6, 2] = random(seed 2)
  q, s, z = DynamicQuantizeLinear (x)
  h = MatMulInteger "fc1" (q, fc1.weight, z)
  more = Add (h, one)
  r = Cast (more) {to=1}
  y = MatMul "fc2" (r, fc2.weight)
}`);
  const { changes, misses } = await prune(model, { structured: 0.5 });
  expect(changes).toEqual([]);
  expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toContain(
    "fc1: its channels cannot be ranked: the scale of its quantized values is not known",
  );
});

test("removes channels of statically quantized layers", async () => {
  const model = parseModel(text);
  const x = float32([4, 3], [1, 0, 1, -1, 1, 0, 0.5, 0.5, -0.5, 0, -1, 1]);
  await quantize(model, { scheme: "static", data: memory("x", { x }), layers: "fc1" });
  const codes = async (): Promise<number[]> => {
    const tensor = model.graph.value("fc1.weight_quantized")?.tensor;
    return tensor === undefined ? [] : toNumbers(await tensor.read());
  };
  const before = await codes();
  expect(before).toHaveLength(18);
  await left(model, { scope: "uniform" });
  expect(await codes()).toEqual([0, 2, 4].flatMap((channel) => before.slice(3 * channel, 3 * channel + 3)));
});

test("a mask that was folded before quantization still counts", async () => {
  const model = parseModel(text);
  // The largest channel is masked, so the second of the small channels is kept.
  const keep = [1, 1, 1, 1, 0, 1].flatMap((kept) => [kept, kept, kept]);
  await customFromMask(model, { layers: "fc1", mask: float32([6, 3], keep) });
  await quantize(model, { scheme: "weights", layers: "fc1" });
  expect(await left(model, { scope: "uniform" })).toEqual([1, 3, 4]);
});

test("ranks a masked float layer without the runtime", async () => {
  const model = parseModel(text);
  await prune(model, { layers: "fc1", amount: 0.17, keepMasks: true });
  const load = () => Promise.reject(new Error("the runtime was asked"));
  await expect(prune(model, { structured: 0.5, layers: "fc1" }, { engine: { load } })).resolves.toMatchObject({
    changes: [{ at: "fc1" }],
  });
});

test("removes channels of integers in a Constant node as of stored ones", async () => {
  const network = (weight: string): Model =>
    parseModel(`opset 21
graph (x: float32[batch, 4]) -> (y: float32[batch, 2]) {
  ${weight}
  scale: float32[] = 0.1
  fc2.weight: float32[3, 2] = random(seed 1)
  w = DequantizeLinear (fc1.weight, scale)
  h = MatMul "fc1" (x, w)
  y = MatMul "fc2" (h, fc2.weight)
}`);
  const values = "int8[4, 3]";
  const numbers = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]";
  const [stored, constantModel] = [
    network(`fc1.weight: ${values} = ${numbers}`),
    network(`fc1.weight = Constant() {value=${values} ${numbers}}`),
  ];
  const expected = await prune(stored, { structured: 0.4 });
  expect(expected.changes).toHaveLength(1);
  expect(await prune(constantModel, { structured: 0.4 })).toEqual(expected);
  expect(constantModel.graph.value("fc1.weight")?.tensor?.dims).toEqual([4, 2]);
});

test("removes whole blocks of channels with their scales", async () => {
  const wide = `opset 21
graph (x: float32[batch, 16]) -> (y: float32[batch, 8]) {
  fc1.weight: float32[16, 64] = random(seed 1)
  fc2.weight: float32[64, 32] = random(seed 2)
  fc3.weight: float32[32, 8] = random(seed 3)
  h = MatMul "fc1" (x, fc1.weight)
  r = Relu (h)
  n = MatMul "fc2" (r, fc2.weight)
  s = Relu (n)
  y = MatMul "fc3" (s, fc3.weight)
}`;
  const model = parseModel(wide);
  await quantize(model, { scheme: "weights", bits: 4, block: 16, onnxOnly: true });
  const [silent, engine] = [model.clone(), createEngine()];
  const { changes } = await prune(model, { structured: 0.5 });
  expect(changes.map(({ at, what }) => `${at}: ${what}`)).toEqual([
    "fc1: 32 of 64 channels cut (2 of 4 units of 16 channels)",
    "fc2: 16 of 32 channels cut (1 of 2 units of 16 channels)",
  ]);
  expect(verify(model)).toEqual([]);
  const run = async (one: Model) => {
    const session = await engine.load(one);
    const x = float32(
      [3, 16],
      Float32Array.from({ length: 48 }, (_, at) => Math.sin(at)),
    );
    const { y } = await session.run({ x });
    await session.release();
    return y === undefined ? [] : toNumbers(y);
  };
  // The silenced network keeps all channels, with scales of 0 for the removed ones.
  for (const name of ["fc1", "fc2"]) {
    const scale = silent.graph.value(`${name}.weight_scale`);
    const dense = (await scale?.tensor?.read()) ?? float32([], [1]);
    const keptChannels = new Set(originalChannelsOf(model, name));
    const columns = dense.dims[1] ?? 1;
    const scales = toNumbers(dense).map((number, at) => (keptChannels.has(at % columns) ? number : 0));
    if (scale !== undefined) scale.tensor = inMemory(float32(dense.dims, scales));
  }
  const [actual, expected] = [await run(model), await run(silent)];
  expect(actual.length).toBe(24);
  actual.forEach((number, at) => {
    expect(number).toBeCloseTo(expected[at] ?? Number.NaN, 5);
  });
});
