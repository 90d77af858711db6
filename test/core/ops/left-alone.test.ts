/** Graphs that ONNX Runtime fused or quantized can be inspected. Techniques skip unsupported layers with a reason. */
import { describe, expect, test } from "vitest";
import { cost } from "../../../src/core/analysis/cost.ts";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import { Miss } from "../../../src/core/errors.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { fromNumbers, toFloat64 } from "../../../src/core/tensor/convert.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { fuseBatchNorm } from "../../../src/rewrite/clean-up/fuse-batch-norm.ts";
import { lowerFused } from "../../../src/rewrite/edit/lower-fused.ts";
import { factorize } from "../../../src/techniques/factorize/index.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";

const header = "opset 18, com.microsoft 1 graph";
const quantized = (): Model =>
  parseModel(`${header} (x: float32[batch, 3, 6, 6]) -> (y) {
    s: float32[] = 0.02; z: uint8[] = 120; ws: float32[] = 0.01; wz: uint8[] = 128;
    conv.weight_quantized: uint8[4, 3, 3, 3] = random(seed 1, from 0 to 255)
    fc.weight_quantized: uint8[4, 5] = random(seed 2, from 0 to 255)
    one: int64[2] = [0, 4]
    q = QuantizeLinear(x, s, z)
    a = QLinearConv(q, s, z, conv.weight_quantized, ws, wz, s, z)
    p = com.microsoft.QLinearGlobalAveragePool(a, s, z, s, z)
    f = Reshape(p, one)
    y = com.microsoft.QGemm(f, s, z, fc.weight_quantized, ws, wz)
  }`);
const blocks = (): Model =>
  parseModel(`${header} (x: float32[batch, 32]) -> (y) {
    fc.weight: uint8[4, 2, 8] = random(seed 1, from 0 to 255); scales: float32[4, 2] = random(seed 2)
    y = com.microsoft.MatMulNBits(x, fc.weight, scales) {K=32, N=4, block_size=16}
  }`);
const fused = (): Model =>
  parseModel(`${header} (x: float32[batch, 8]) -> (y) {
    fc.weight: float32[8, 6] = random(seed 1); fc.bias: float32[6] = random(seed 2)
    scale: float32[6] = random(seed 3, from 0.5 to 1.5); shift: float32[6] = zeros; mean: float32[6] = zeros
    variance: float32[6] = ones
    h = com.microsoft.FusedGemm(x, fc.weight, fc.bias) {activation="Tanh"}
    y = BatchNormalization(h, scale, shift, mean, variance)
  }`);

const engine = createEngine();

async function run(model: Model, feeds: Batch): Promise<Batch> {
  const session = await engine.load(model, { optimize: false, threads: 1 });
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

const ramp = (dims: readonly number[]) => {
  const count = dims.reduce((product, dim) => product * dim, 1);
  return fromNumbers(
    "float32",
    dims,
    Array.from({ length: count }, (_, index) => Math.sin(index)),
  );
};

describe("a layer with quantized weights", () => {
  test("is listed by name, with its channels and multiply-accumulates", () => {
    const model = quantized();
    const inference = infer(model);
    expect(layers(model, inference).map(({ name, outputs, inputs }) => [name, outputs, inputs])).toEqual([
      ["conv", 4, 3],
      ["fc", 5, 4],
    ]);
    expect(inference.misses).toEqual([]);
    expect(cost(model, inference).misses).toEqual([]);
  });

  test("counts the channels that the node states for packed blocks", () => {
    const model = blocks();
    const [layer] = layers(model, infer(model));
    expect([layer?.name, layer?.outputs, layer?.inputs]).toEqual(["fc", 4, 32]);
  });

  test.each([
    ["operators on integers", quantized],
    ["blocks of 4 bits", blocks],
  ] as const)("%s: no technique changes its weights, and each gives the reason", async (_, make) => {
    const techniques: [
      string,
      (model: Model) => Promise<{ changes: readonly unknown[]; misses: readonly { reason: string }[] }>,
    ][] = [
      ["quantized already", (model) => prune(model, { amount: 0.5, keepMasks: true })],
      ["is quantized already", (model) => quantize(model, { scheme: "dynamic" })],
      ["is quantized already", (model) => quantize(model, { scheme: "weights" })],
      ["quantized already", (model) => factorize(model, { rank: 1 })],
    ];
    for (const [reason, technique] of techniques) {
      const model = make();
      const { changes, misses } = await technique(model);
      expect(changes).toEqual([]);
      expect(misses.length).toBeGreaterThan(0);
      for (const miss of misses) expect(miss.reason).toContain(reason);
      expect(verify(model)).toEqual([]);
    }
  });

  test("loses channels between layers, but not output channels", async () => {
    const model = quantized();
    const { changes, misses } = await prune(model, { amount: 0.5, structured: true });
    expect(changes.map(({ at, what }) => `${at}: ${what}`)).toEqual(["conv: 2 of 4 channels cut"]);
    expect(misses.map(({ at }) => at)).toEqual(["fc"]);
    expect(verify(model)).toEqual([]);
    expect(model.graph.value("fc.weight_quantized")?.tensor?.dims).toEqual([2, 5]);
    expect((await run(model, { x: ramp([1, 3, 6, 6]) })).y?.dims).toEqual([1, 5]);
    const { misses: blockMisses } = await prune(blocks(), { amount: 0.5, structured: true });
    expect(blockMisses.map(({ reason }) => reason)).toEqual([
      "the channels cannot be removed: they are an output of the model",
    ]);
  });
});

describe("an activation fused into a layer", () => {
  test("prevents folding of a following batch normalization", async () => {
    const model = fused();
    const { changes, misses } = await fuseBatchNorm(model);
    expect(changes).toEqual([]);
    expect(misses.map(({ reason }) => reason)).toEqual([
      '"fc" before it: Tanh is fused into the layer: run the recipe step `lower-fused` first (`lowerFused` in code)',
    ]);
  });

  test("is not duplicated by low rank", async () => {
    const { changes, misses } = await factorize(fused(), { rank: 1 });
    expect(changes).toEqual([]);
    expect(misses.map(({ reason }) => reason)).toEqual([
      "Tanh is fused into the layer: run the recipe step `lower-fused` first (`lowerFused` in code)",
    ]);
  });

  test("becomes a separate node after lowering, and the layer can be factorized", async () => {
    const model = fused();
    const feeds = { x: ramp([2, 8]) };
    const before = await run(model, feeds);
    await lowerFused(model);
    expect([...model.graph.nodes()].map(({ op }) => op)).toEqual(["Gemm", "Tanh", "BatchNormalization"]);
    const after = await run(model, feeds);
    const gaps = toFloat64(after.y ?? ramp([0])).map(
      (value, at) => value - (toFloat64(before.y ?? ramp([0]))[at] ?? 0),
    );
    expect(Math.max(...gaps.map(Math.abs))).toBeLessThan(1e-6);
    const { changes } = await factorize(model, { rank: 1 });
    expect(changes).toHaveLength(1);
  });
});

test("an operator of which only shapes are known has a type, and is skipped with the reason", async () => {
  const model = parseModel(`${header} (x: float32[2, 8], p: float32[2, 3]) -> (y) {
    w: float32[3, 16, 8] = random(seed 1); v: float32[3, 8, 16] = random(seed 2)
    y = com.microsoft.MoE(x, p, w, _, v) {k=1, activation_type="gelu"}
  }`);
  const inference = infer(model);
  expect(model.graph.outputs[0]?.type?.dims).toEqual([2, 8]);
  const [node] = [...model.graph.nodes()];
  const bound = node && inference.at(node);
  expect(bound instanceof Miss ? bound : bound?.axes()).toMatchObject({ reason: "routes each token to a few experts" });
  const { changes } = await lowerFused(model);
  expect(changes).toEqual([]);
});

test("rejects a search operator by name, and does not change the model", () => {
  const model = parseModel(`${header} (ids: int32[batch, seq], most: int32[1]) -> (y: int32[batch, most]) {
    y: int32[batch, most] = com.microsoft.GreedySearch(ids, most)
      {eos_token_id=1, pad_token_id=0, decoder=graph (i: int32[batch, seq]) -> (o) { o = Identity(i) }}
  }`);
  const inference = infer(model);
  expect(inference.misses.map(({ reason }) => reason)).toEqual(["Pith does not know this operator"]);
  expect(model.graph.outputs[0]?.type?.dims).toHaveLength(2);
});
