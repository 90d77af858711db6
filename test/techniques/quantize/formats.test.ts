/** Tests weight formats: exact values, all runtimes, recognition as layers, and passes that must not change them. */
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { allLayers, type Layer, weightCount } from "../../../src/core/analysis/layers.ts";
import { learnedCount, learnedTensors } from "../../../src/core/analysis/learned-tensors.ts";
import { weightBits } from "../../../src/core/analysis/stored-form.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { toFloat64 } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory, int64 } from "../../../src/core/tensor/dense.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { memory } from "../../../src/data/index.ts";
import { train } from "../../../src/learn/train/index.ts";
import { finalize } from "../../../src/rewrite/clean-up/finalize.ts";
import { fakeQuantize, type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { type GoldenTensor, golden, goldenNumbers } from "../../shared.ts";
import { temporaryFolder } from "../../temporary.ts";
import { names, testFormats, text } from "./layers-of-formats.ts";
import { difference, layerNames, numbersFor, operators, reopened, run, stored } from "./networks.ts";

interface BlockCase {
  readonly K: number;
  readonly N: number;
  readonly block_size: 16 | 32;
  readonly type: "int4" | "uint4";
  readonly weight_K_by_N: GoldenTensor;
  readonly raw_K_by_N: GoldenTensor;
  readonly scales: GoldenTensor;
  readonly zero_points_raw?: GoldenTensor;
}
const reference = golden<{ readonly blocks_dequantizelinear: readonly BlockCase[] }>("quantization");

/** Returns a product with a weight of these values, inputs × outputs. */
function product(inputs: number, outputs: number, numbers: Iterable<number>): Model {
  const model = parseModel(`opset 17
graph (x: float32[batch, ${inputs}]) -> (y: float32[batch, ${outputs}]) {
  fc.weight: float32[${inputs}, ${outputs}] = zeros
  y = MatMul(x, fc.weight)
}`);
  const weight = model.graph.value("fc.weight");
  if (weight !== undefined) weight.tensor = inMemory(float32([inputs, outputs], numbers));
  return model;
}

/** Returns the operators of the graph into which ONNX Runtime optimizes a model. */
async function optimized(model: Model): Promise<readonly string[]> {
  const path = join(temporaryFolder(), "optimized.onnx");
  const session = await InferenceSession.create(await encodeToBytes(model), {
    optimizedModelFilePath: path,
    logSeverityLevel: 3,
  });
  await session.release();
  return operators(await open(path));
}

testFormats([
  [{ bits: 4, block: 16, onnxOnly: true }, 0.2, ["int4", "int4", "int4", "int4", "int4", "int8"]],
  [{ weights: "palette", bits: 5 }, 0.06, ["uint8", "uint8", "uint8", "uint8", "uint8", "uint8"]],
]);

test.each([
  { bits: 8, block: 32 },
  { bits: 8, block: 16, target: ["wasm"] },
  { bits: 4 },
  { bits: 4, onnxOnly: true },
  { bits: 2 },
  { weights: "palette", bits: 3 },
] as const satisfies readonly QuantizeOptions[])("%j: counts elements of weights, not their bytes", async (options) => {
  const [before, model] = [parseModel(text), parseModel(text)];
  await quantize(model, { scheme: "weights", ...options });
  const sizes = (of: Model) =>
    allLayers(of, infer(of))
      .filter(({ isScale }) => isScale !== true)
      .map((layer) => [layer.inputs, layer.outputs, weightCount(layer)]);
  expect(sizes(model)).toEqual(sizes(before));
  const count = async (of: Model) => learnedCount(await learnedTensors(of, infer(of)));
  const palettes = "weights" in options && options.weights === "palette" ? names.length * 2 ** 3 : 0;
  expect(await count(model)).toBe((await count(before)) + palettes);
  const bits = weightBits(allLayers(model, infer(model)).find(({ name }) => name === "fc1") as Layer);
  expect(bits).toBe("bits" in options ? options.bits : 8);
});

test.each([4, 8] as const)(
  "counts a %d-bit table of plain operators whole, and does not quantize its scales",
  async (bits) => {
    const model = parseModel(`opset 17
graph (ids: int64[batch, length]) -> (y: float32[batch, length, 8]) {
  table.weight: float32[40, 64] = random(seed 1)
  fc.weight: float32[64, 8] = random(seed 2)
  h = Gather(table.weight, ids)
  y = MatMul(h, fc.weight)
}`);
    await quantize(model, { scheme: "weights", bits, block: 32, layers: ["table"], target: ["wasm"] });
    expect(operators(model)).not.toContain("GatherBlockQuantized");
    const [table] = allLayers(model, infer(model));
    expect([table?.outputs, table && weightCount(table), table && weightBits(table)]).toEqual([64, 40 * 64, bits]);
    expect(learnedCount(await learnedTensors(model, infer(model)))).toBe(40 * 64 + 64 * 8);
    const { changes, misses } = await quantize(model, { scheme: "dynamic" });
    expect(changes.map(({ at }) => at)).toEqual(["fc"]);
    expect(misses.map(({ reason }) => reason)).toEqual([
      "its weight is quantized already",
      "its weight is quantized already",
      "it contains the scales of a table that is quantized already",
    ]);
  },
);

test("recognizes tables with the same indices as separate layers if they are not combined", () => {
  const model = parseModel(`opset 17
graph (ids: int64[batch, 4], places: int64[batch, 4]) -> (y, z) {
  codes: uint8[40, 16] = random(seed 1, from 0 to 255)
  small: float32[40, 4] = random(seed 2)
  rows: float32[40, 16] = random(seed 3)
  at: float32[40, 2] = random(seed 4)
  half: float32[] = [0.5]
  picked = Gather(codes, ids)
  numbers = Cast(picked) {to=1}
  scaled = Mul(numbers, half)
  others = Gather(rows, ids)
  y = Add(scaled, others)
  apart = Gather(small, ids)
  elsewhere = Gather(at, places)
  z = Concat(apart, elsewhere) {axis=-1}
}`);
  expect(allLayers(model, infer(model)).map(({ outputs, isScale }) => [outputs, isScale])).toEqual([
    [16, undefined],
    [16, undefined],
    [4, undefined],
    [2, undefined],
  ]);
});

describe("blocks in operators of ONNX", () => {
  test.skipIf(reference === undefined).each(reference?.blocks_dequantizelinear ?? [])(
    "$type, $K × $N in blocks of $block_size: equal the values of ONNX Runtime's quantizer",
    async ({ K, N, block_size: block, type, ...given }) => {
      const model = product(K, N, goldenNumbers(given.weight_K_by_N));
      await quantize(model, { scheme: "weights", bits: 4, block, onnxOnly: true, zeroPoints: type === "uint4" });
      const codes = await stored(model, "fc.weight_quantized");
      expect([codes.type, codes.dims]).toEqual([type, [K, N]]);
      expect([...(codes.data as Uint8Array)]).toEqual(given.raw_K_by_N.data);
      expect([...toFloat64(await stored(model, "fc.weight_scale"))]).toEqual(
        [...goldenNumbers(given.scales)].map(Math.fround),
      );
      if (given.zero_points_raw !== undefined) {
        const { data } = await stored(model, "fc.weight_zero_point");
        expect([...(data as Uint8Array)]).toEqual(given.zero_points_raw.data);
      }
    },
  );

  test.each([
    [4, false],
    [4, true],
    [8, false],
  ] as const)("a product of %d bits is fused to MatMulNBits: zero points %s", async (bits, zeroPoints) => {
    for (const outputs of [33, 32]) {
      const model = product(80, outputs, numbersFor([80, outputs]).data);
      await quantize(model, { scheme: "weights", bits, block: 32, onnxOnly: true, zeroPoints });
      expect(await optimized(model)).toEqual(["MatMulNBits"]);
    }
  });

  test("trained 4-bit scales are kept per output", async () => {
    const model = product(64, 6, numbersFor([64, 6]).data);
    await fakeQuantize(model, { bits: 4 });
    const x = { x: numbersFor([2, 64], 3) };
    const rounded = await run(model, x);
    const { changes } = await quantize(model, { scheme: "weights", bits: 4, onnxOnly: true });
    expect(changes.map(({ what }) => what)).toEqual(["weight as int4, a scale per output channel"]);
    expect(difference(rounded, await run(model, x, { optimize: false }))).toBeLessThan(1e-6);
  });

  test("rejects 2 bits, which ONNX Runtime multiplies incorrectly", async () => {
    await expect(
      quantize(product(16, 2, numbersFor([16, 2]).data), { scheme: "weights", bits: 2, onnxOnly: true }),
    ).rejects.toThrow('quantize: "onnxOnly": blocks have 4 or 8 bits in operators of ONNX, got 2.');
  });
});

test("recognizes layers with float8 and fp4 weights, and does not quantize them again", async () => {
  const model = parseModel(`opset 19, com.microsoft 1
graph (x: float32[batch, 8]) -> (y: float32[batch, 4]) {
  fc1.weight: float8e4m3fn[8, 16] = random(seed 1)
  fc1.scale: float32[16] = random(seed 2)
  fc2.weight: uint8[32] = random(seed 3, from 0 to 255)
  fc2.scale: float32[4] = random(seed 4)
  w = DequantizeLinear(fc1.weight, fc1.scale) {axis=1}
  h = MatMul "fc1" (x, w)
  y = com.microsoft.MatMulBnb4 "fc2" (h, fc2.weight, fc2.scale) {K=16, N=4, block_size=16, quant_type=0}
}`);
  const file = await reopened(model);
  const quantizedLayers = allLayers(file, infer(file));
  expect(quantizedLayers.map((layer) => [layer.inputs, layer.outputs, weightBits(layer)])).toEqual([
    [8, 16, 8],
    [16, 4, 4],
  ]);
  expect(await quantize(model, { scheme: "weights" })).toMatchObject({ changes: [], misses: [{}, {}] });
});

describe("palettes", () => {
  const sparse = (): Float32Array => numbersFor([64, 8]).data.map((value) => (Math.abs(value) < 1 ? 0 : value));
  const numbers = (model: Model, x: Batch) => run(model, x, { optimize: false });
  const x = { x: numbersFor([96, 64], 3) };

  test("store a weight with few values exactly", async () => {
    const few = numbersFor([64, 8]).data.map((value) => Math.round(3 * value) / 3);
    const model = product(64, 8, few);
    const before = await numbers(model, x);
    await quantize(model, { scheme: "weights", weights: "palette", bits: 5 });
    expect(await numbers(await reopened(model), x)).toEqual(before);
  });

  test("keep zeros of a pruned weight, also while the palette is trained", async () => {
    const model = product(64, 8, sparse());
    const truth = product(64, 8, sparse());
    const weightOf = async (from: Model) => {
      const identity = Float32Array.from({ length: 64 * 64 }, (_, at) => (at % 65 === 0 ? 1 : 0));
      return numbers(from, { x: float32([64, 64], identity) });
    };
    const zeros = (of: ArrayLike<number>) =>
      Array.from(of, (value, at) => (value === 0 ? at : -1)).filter((at) => at >= 0);
    await quantize(model, { scheme: "weights", weights: "palette", bits: 2 });
    expect(zeros(await weightOf(model))).toEqual(zeros(sparse()));
    const codes = await stored(model, "fc.weight_quantized");
    const values = await stored(model, "fc.weight_palette");
    expect(values.dims).toEqual([3]);
    const label = float32([96, 8], await numbers(truth, x));
    const before = difference(await numbers(truth, x), await numbers(model, x));
    const data = memory("points", { ...x, label });
    const { misses } = await train(model, { data, epochs: 20, batch: 32, learningRate: 0.02, loss: "mse" });
    expect(misses).toEqual([]);
    expect(await stored(model, "fc.weight_quantized")).toEqual(codes);
    expect(await stored(model, "fc.weight_palette")).not.toEqual(values);
    expect(zeros(await weightOf(model))).toEqual(zeros(sparse()));
    const file = await reopened(model);
    expect(difference(await numbers(truth, x), await numbers(file, x))).toBeLessThan(before);
    expect(layerNames(file)).toEqual(["fc"]);
  });

  test("store a table and its tied last layer once", async () => {
    const model = parseModel(`opset 17
graph (ids: int64[batch]) -> (y: float32[batch, 40]) {
  embed.weight: float32[40, 22] = random(seed 1)
  h = Gather "embed" (embed.weight, ids)
  t = Transpose (embed.weight) {perm=[1, 0]}
  y = MatMul "head" (h, t)
}`);
    const feeds = { ids: int64([3], [0, 39, 7]) };
    const before = await run(model, feeds);
    await quantize(model, { scheme: "weights", weights: "palette", bits: 6 });
    assertValid(model);
    expect(
      [...model.graph.values()].filter(({ tensor }) => (tensor?.bytes ?? 0) > 300).map(({ name }) => name),
    ).toEqual(["embed.weight_quantized"]);
    expect(difference(before, await run(model, feeds))).toBeLessThan(0.03);
  });

  test("are trained in a table, while 8-bit tables are reported as untrained", async () => {
    const missesIn = async (options: Pick<QuantizeOptions, "weights" | "bits">) => {
      const model = parseModel(`opset 17
graph (ids: int64[batch]) -> (y: float32[batch, 22]) {
  embed.weight: float32[40, 22] = random(seed 1)
  scale: float32[22] = random(seed 2)
  h = Gather "embed" (embed.weight, ids)
  y = Mul(h, scale)
}`);
      await quantize(model, { scheme: "weights", ...options });
      const data = memory("rows", { ids: int64([4], [0, 39, 7, 8]), label: numbersFor([4, 22]) });
      return (await train(model, { data, epochs: 1, batch: 4, loss: "mse" })).misses.map(({ at }) => at);
    };
    expect(await missesIn({ weights: "palette", bits: 3 })).toEqual([]);
    expect(await missesIn({})).toEqual(["embed"]);
  });

  test("keep packed 4-bit indices if `finalize` removes training roles", async () => {
    const model = product(64, 64, numbersFor([64, 64]).data);
    await quantize(model, { scheme: "weights", weights: "palette", bits: 4 });
    const before = await numbers(model, x);
    await finalize(model);
    expect(await numbers(model, x)).toEqual(before);
    expect((await encodeToBytes(model)).length).toBeLessThan(3500);
  });
});

test.each([
  [{ weights: "palette", bits: 9 }, "takes a whole number from 1 to 8"],
  [{ bits: 1 }, "takes 8, 6, 5, 4, 3 or 2, got 1"],
  [{ weights: "palette", rounder: "mse" }, "the values of palette are given"],
  [{ scheme: "dynamic", weights: "palette" }, 'palette is not available in the scheme "dynamic"'],
] as const)("rejects %j", async (options, message) => {
  const model = product(16, 2, numbersFor([16, 2]).data);
  await expect(quantize(model, { scheme: "weights", ...options } as QuantizeOptions)).rejects.toThrow(message);
});
