/** Tests that adapters can be inserted, trained, merged and saved to a file. */
import { expect, test } from "vitest";
import { joinPath } from "#platform";
import { value } from "../../../test/find.ts";
import { temporaryFolder } from "../../../test/temporary.ts";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { open } from "../../core/onnx/index.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import { float32, inMemory, int64 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { memory } from "../../data/index.ts";
import { conv2d, flatten, linear, network, relu } from "../../learn/nn/index.ts";
import { train } from "../../learn/train/index.ts";
import { lora } from "./lora.ts";

const net = (): Model =>
  network(
    {
      conv: conv2d(4, 6, 3, { padding: 2, stride: 2, dilation: 2 }),
      relu: relu(),
      grouped: conv2d(6, 8, 3, { groups: 2 }),
      flatten: flatten(),
      fc: linear(32, 5),
    },
    { input: ["batch", 4, 8, 8], seed: 1 },
  );

const count = 24;
const draws = random(5);
const images = float32(
  [count, 4, 8, 8],
  Float32Array.from({ length: count * 256 }, () => draws.normal()),
);
const data = memory("noise", {
  input: images,
  label: int64(
    [count],
    Array.from({ length: count }, (_, index) => index % 5),
  ),
});

async function answers(model: Model): Promise<readonly number[]> {
  const session = await createEngine().load(model);
  const { output } = await session.run({ input: images });
  await session.release();
  return Array.from(output?.data ?? [], Number);
}

function maxDifference(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, index) => Math.abs(value - (b[index] ?? Number.NaN))));
}

async function weight(model: Model, name: string): Promise<unknown> {
  return (await model.graph.value(name)?.tensor?.read())?.data;
}

async function adaptedAndTrained(): Promise<Model> {
  const model = net();
  await lora(model, { rank: 2, alpha: 4 }, { seed: 3 });
  await train(model, { data, epochs: 5, batch: 8, learningRate: 0.02, layers: "*.lora.*" });
  return model;
}

test("keeps outputs and their names if new adapters are inserted", async () => {
  const [model, before] = [net(), net()];
  const { changes, misses } = await lora(model, { rank: 2 });
  expect(changes.map(({ at }) => at)).toEqual(["conv", "grouped", "fc"]);
  expect(misses).toEqual([]);
  expect(await answers(model)).toEqual(await answers(before));
  expect(model.graph.outputs.map(({ name }) => name)).toEqual(["output"]);
});

test("merges adapters of float16 weights in float16", async () => {
  const model = parseModel(`opset 21
graph (input: float32[n, 12]) -> (output: float32[n, 6]) {
  fc.weight: float16[12, 6] = random(seed 1)
  x = Cast(input) {to=10}
  h = MatMul(x, fc.weight)
  output = Cast(h) {to=1}
}`);
  await lora(model, { rank: 2, alpha: 4 });
  const up = value(model, "fc.lora.up.weight");
  const draws = random(2);
  up.tensor = inMemory(
    fromNumbers(
      "float16",
      [2, 6],
      Array.from({ length: 12 }, () => draws.normal(0, 0.3)),
    ),
  );
  const computeOutputs = async () => {
    const session = await createEngine().load(model);
    const { output } = await session.run({ input: float32([2, 12], images.data.slice(0, 24)) });
    await session.release();
    return Array.from(output?.data ?? [], Number);
  };
  const trainedOutputs = await computeOutputs();
  await lora(model, { merge: true });
  expect(value(model, "fc.weight").tensor?.type).toBe("float16");
  expect(maxDifference(await computeOutputs(), trainedOutputs)).toBeLessThan(0.02);
});

test("raises opset 1 to a version with broadcasting", async () => {
  const old = () =>
    parseModel(`opset 1
graph (input: float32[n, 4, 8, 8]) -> (output: float32[n, 6, 6, 6]) {
  conv.weight: float32[6, 4, 3, 3] = random(seed 1)
  output = Conv(input, conv.weight) {kernel_shape=[3, 3]}
}`);
  const model = old();
  await lora(model, { rank: 2 });
  expect(model.opsets.get("")).toBe(7);
  expect(await answers(model)).toEqual(await answers(old()));
});

test("trains only the adapters, and merges them without changing outputs", async () => {
  const [model, before] = [await adaptedAndTrained(), net()];
  for (const name of ["conv.weight", "conv.bias", "grouped.weight", "fc.weight", "fc.bias"])
    expect(await weight(model, name)).toEqual(await weight(before, name));
  const trained = await answers(model);
  expect(maxDifference(trained, await answers(before))).toBeGreaterThan(0.1);
  await lora(model, { merge: true });
  expect([...model.graph.nodes()].length).toBe([...before.graph.nodes()].length);
  const names = ({ graph }: Model): readonly string[] => Array.from(graph.values(), ({ name }) => name).sort();
  expect(names(model)).toEqual(names(before));
  expect(maxDifference(await answers(model), trained)).toBeLessThan(1e-5);
});

test("restores the trained model from the original and saved adapters", async () => {
  const model = await adaptedAndTrained();
  const file = joinPath(temporaryFolder(), "adapters.onnx");
  const merged = model.clone();
  await lora(merged, { merge: true, save: file });
  const restored = net();
  await lora(restored, { from: await open(file) });
  expect(await answers(restored)).toEqual(await answers(model));
  // A file of adapters is a model that outputs their matrices and scales.
  const session = await createEngine().load(await open(file));
  expect((await session.run({}))["fc.lora.scale"]?.data[0]).toBe(2);
  await session.release();
});

test("inserts at most one adapter per layer", async () => {
  const model = net();
  await lora(model, { rank: 2, layers: "fc" });
  const { changes } = await lora(model, { rank: 2 });
  expect(changes.map(({ at }) => at)).toEqual(["conv", "grouped"]);
});

/** Returns a network of two products with one shared matrix. */
const twice = () =>
  parseModel(`opset 21
graph (input: float32[n, 6]) -> (output) {
  fc.weight: float32[6, 6] = random(seed 1)
  a = MatMul "first" (input, fc.weight)
  b = Relu (a)
  output = MatMul "second" (b, fc.weight)
}`);

test("shares one adapter between layers that share a weight, and saves and merges it once", async () => {
  const model = twice();
  const { changes } = await lora(model, { rank: 2, alpha: 4 });
  expect(changes.map(({ what }) => what)).toEqual(["adapter of rank 2", "adapter of rank 2"]);
  expect([...model.graph.values()].filter(({ role }) => role?.kind === "parameter").length).toBe(2);
  const up = value(model, "fc.lora.up.weight");
  const draws = random(2);
  const numbers = Float32Array.from({ length: 12 }, () => draws.normal(0, 0.3));
  up.tensor = inMemory(float32([2, 6], numbers));
  const computeOutputs = async (of: Model) => {
    const session = await createEngine().load(of);
    const { output } = await session.run({ input: float32([2, 6], images.data.slice(0, 12)) });
    await session.release();
    return Array.from(output?.data ?? [], Number);
  };
  const trainedOutputs = await computeOutputs(model);
  const file = joinPath(temporaryFolder(), "adapters.onnx");
  const merged = await lora(model, { merge: true, save: file });
  expect(merged.misses).toEqual([]);
  expect(model.graph.value("fc.lora.scale")).toBeUndefined();
  expect(maxDifference(await computeOutputs(model), trainedOutputs)).toBeLessThan(1e-4);
  expect((await open(file)).graph.outputs.map(({ name }) => name)).toEqual([
    "fc.lora.down.weight",
    "fc.lora.up.weight",
    "fc.lora.scale",
  ]);
  const restored = twice();
  await lora(restored, { from: file });
  expect(maxDifference(await computeOutputs(restored), trainedOutputs)).toBeLessThan(1e-4);
});

test("does not merge an adapter if another layer reads the weight transposed", async () => {
  const model = parseModel(`opset 21
graph (x: float32[n, 6]) -> (y) {
  fc.weight: float32[6, 6] = random(seed 1)
  a = Gemm "first" (x, fc.weight)
  y = Gemm "second" (a, fc.weight) {transB=1}
}`);
  const { changes, misses } = await lora(model, { rank: 2 });
  expect(changes.map(({ what }) => what)).toEqual(["adapter of rank 2, which cannot be merged: its weight is shared"]);
  expect(misses.map(({ reason }) => reason)).toEqual([
    "another layer reads its weight in another form, and has an adapter",
  ]);
  const merged = await lora(model, { merge: true });
  expect(merged.changes).toEqual([]);
  expect(merged.misses.map(({ reason }) => reason)).toEqual(["keeps its adapter: its weight is shared"]);
});

test("skips saved adapters for layers that have one", async () => {
  const model = await adaptedAndTrained();
  const file = joinPath(temporaryFolder(), "adapters.onnx");
  await lora(model.clone(), { merge: true, save: file });
  const before = await answers(model);
  const { changes, misses } = await lora(model, { from: file });
  expect(changes).toEqual([]);
  expect(misses.map(({ at, reason }) => [at, reason])).toEqual(
    ["conv", "grouped", "fc"].map((name) => [name, "it has an adapter already: merge that one first"]),
  );
  expect(await answers(model)).toEqual(before);
});

test("rejects a file whose two matrices differ in rank", async () => {
  const file = joinPath(temporaryFolder(), "adapters.onnx");
  await lora(await adaptedAndTrained(), { merge: true, save: file });
  const broken = await open(file);
  const up = broken.graph.value("fc.lora.up.weight");
  if (up === undefined) throw new Error("no such adapter");
  up.tensor = inMemory(float32([5, 3], new Float32Array(15)));
  await expect(lora(net(), { from: broken })).rejects.toMatchObject({ code: "E_SHAPE_MISMATCH" });
});

test("rejects a file whose second matrix has spatial axes", async () => {
  const file = joinPath(temporaryFolder(), "adapters.onnx");
  await lora(await adaptedAndTrained(), { merge: true, save: file });
  const broken = await open(file);
  const up = broken.graph.value("conv.lora.up.weight");
  if (up === undefined) throw new Error("no such adapter");
  up.tensor = inMemory(float32([6, 2, 3, 3], new Float32Array(108)));
  await expect(lora(net(), { from: broken })).rejects.toThrow(
    "its matrices are [2,4,3,3] and [6,2,3,3], the weight is [6,4,3,3]",
  );
});

test("skips a layer if the rank is not below its full rank", async () => {
  const { changes, misses } = await lora(net(), { rank: 5, layers: "fc" });
  expect(changes).toEqual([]);
  expect(misses[0]?.reason).toBe("rank 5 is not below the full rank of its 5 × 32 weight");
});

test("rejects adapters of another network and files without adapters", async () => {
  const file = joinPath(temporaryFolder(), "adapters.onnx");
  await lora(await adaptedAndTrained(), { merge: true, save: file });
  await expect(lora(net(), { save: file })).rejects.toThrow("save needs merge");
  const other = network({ flatten: flatten(), fc: linear(256, 5) }, { input: ["batch", 4, 8, 8], seed: 1 });
  await expect(lora(other, { from: file })).rejects.toMatchObject({
    code: "E_NAME",
    message: `An adapter in "${file}" is for a layer "conv", which this model does not have.`,
  });
  await expect(lora(net(), { from: net() })).rejects.toThrow("There are no adapters in the model given as `from`.");
  await expect(lora(net(), { merge: true })).rejects.toThrow("merge: the model has no adapters.");
  const wider = network(
    {
      conv: conv2d(4, 6, 3, { padding: 2, stride: 2, dilation: 2 }),
      grouped: conv2d(6, 8, 3, { groups: 2 }),
      flatten: flatten(),
      fc: linear(32, 7),
    },
    { input: ["batch", 4, 8, 8], seed: 1 },
  );
  await expect(lora(wider, { from: await open(file) })).rejects.toMatchObject({ code: "E_SHAPE_MISMATCH" });
});

test.each([{ rank: 2 }, { alpha: 4 }])("accepts rank and alpha only for new adapters: %o", async (options) => {
  const model = await adaptedAndTrained();
  const only = "rank and alpha are for new adapters";
  await expect(lora(net(), { from: model, ...options })).rejects.toThrow(only);
  await expect(lora(model, { merge: true, ...options })).rejects.toThrow(only);
});

test("inserts, saves and merges only adapters of selected layers", async () => {
  const model = await adaptedAndTrained();
  const file = joinPath(temporaryFolder(), "adapters.onnx");
  const { changes } = await lora(model, { merge: true, save: file, except: "conv" });
  expect(changes.map(({ at }) => at)).toEqual(["grouped", "fc"]);
  await expect(lora(model, { merge: true, layers: "fc" })).rejects.toThrow("merge: these layers have no adapters.");
  const inserted = await lora(net(), { from: file, layers: ["conv", "fc"] });
  expect(inserted.changes.map(({ at }) => at)).toEqual(["fc"]);
});

test("inserts an adapter for a Gemm of an opset that requires its bias", async () => {
  const model = parseModel(`opset 9
graph (x: float32[3, 10]) -> (y) {
  w: float32[10, 12] = random(seed 1)
  b: float32[12] = random(seed 2)
  y = Gemm "fc" (x, w, b) {alpha=2.0, beta=0.5}
}`);
  const { changes } = await lora(model, { rank: 2 });
  expect(changes.map(({ at }) => at)).toEqual(["fc"]);
  expect(verify(model)).toEqual([]);
});

test("reports if an inserted adapter cannot be merged, with the reason", async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 8]) -> (y) {
  masked.weight_orig: float32[8, 8] parameter = random(seed 1)
  masked.weight_mask: float32[8, 8] mask = ones
  masked.weight = Mul(masked.weight_orig, masked.weight_mask)
  codes: int8[8, 8] = zeros
  scale: float32[] = 0.1
  quantized.weight = DequantizeLinear(codes, scale)
  plain.weight: float32[8, 8] parameter = random(seed 2)
  a = MatMul "masked" (x, masked.weight)
  b = MatMul "quantized" (a, quantized.weight)
  y = MatMul "plain" (b, plain.weight)
}`);
  const { changes } = await lora(model, { rank: 2 });
  expect(changes.map(({ at, what }) => [at, what])).toEqual([
    ["masked", "adapter of rank 2, which cannot be merged: its weight is masked, `remove` makes the mask permanent"],
    ["quantized", "adapter of rank 2, which cannot be merged: its weight is quantized already"],
    ["plain", "adapter of rank 2"],
  ]);
  const merged = await lora(model, { merge: true });
  expect(merged.changes.map(({ at }) => at)).toEqual(["plain"]);
  expect(merged.misses.map(({ at, reason }) => [at, reason])).toEqual([
    ["masked", "keeps its adapter: its weight is masked, `remove` makes the mask permanent"],
    ["quantized", "keeps its adapter: its weight is quantized already"],
  ]);
});

test("skips layers in a branch with the reason", async () => {
  const model = parseModel(`opset 17
graph (positive: bool[], x: float32[2, 6]) -> (y: float32[2, 6]) {
  fc.weight: float32[6, 6] = random(seed 1)
  y = If "branch" (positive) {then_branch=graph then () -> (a) {
    a = MatMul(x, fc.weight)
  }, else_branch=graph else () -> (b) {
    b = Relu(x)
  }}
}`);
  const { changes, misses } = await lora(model, { rank: 2 });
  expect(changes).toEqual([]);
  expect(misses.map(({ reason }) => reason)).toEqual([
    expect.stringContaining("layers inside subgraphs are not changed"),
  ]);
});
