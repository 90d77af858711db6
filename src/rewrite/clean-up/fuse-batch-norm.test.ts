import { describe, expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { structureHash } from "../../core/graph/structure-hash.ts";
import { parseModel, printModel } from "../../core/graph/text.ts";
import { assertValid } from "../../core/graph/verify.ts";
import { toNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { elementCount } from "../../core/tensor/dims.ts";
import { random } from "../../core/tensor/random.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { fuseAffine, fuseBatchNorm, fuseBatchNorms } from "./fuse-batch-norm.ts";

const vectors = (
  channels: number,
  role = "",
) => `  scale: float32[${channels}]${role} = random(seed 11, from 0.5 to 1.5)
  shift: float32[${channels}] = random(seed 12)
  mean: float32[${channels}] = random(seed 13)
  variance: float32[${channels}] = random(seed 14, from 0.2 to 3)`;
const norm = "BatchNormalization (h, scale, shift, mean, variance) {epsilon=0.001}";

const cases: readonly (readonly [name: string, text: string, dims: readonly number[]])[] = [
  [
    "a convolution without a bias",
    `graph (x: float32[batch, 3, 5, 5]) -> (y: float32[...]) {
  conv.weight: float32[4, 3, 3, 3] = random(seed 1)
${vectors(4)}
  h = Conv "conv" (x, conv.weight)
  y = ${norm}
}`,
    [2, 3, 5, 5],
  ],
  [
    "a convolution with a bias that is computed from constants",
    `graph (x: float32[batch, 3, 5, 5]) -> (y: float32[...]) {
  conv.weight: float32[4, 3, 3, 3] = random(seed 1)
  half: float32[] = 0.5
  channels: int64[1] = [4]
${vectors(4)}
  bias = Expand (half, channels)
  h = Conv "conv" (x, conv.weight, bias)
  y = ${norm}
}`,
    [2, 3, 5, 5],
  ],
  [
    "a grouped convolution with a bias",
    `graph (x: float32[batch, 4, 5, 5]) -> (z: float32[...]) {
  conv.weight: float32[6, 2, 3, 3] = random(seed 1)
  conv.bias: float32[6] = random(seed 2)
${vectors(6)}
  h = Conv "conv" (x, conv.weight, conv.bias) {group=2}
  y = ${norm}
  z = Relu(y)
}`,
    [2, 4, 5, 5],
  ],
  [
    "a transposed convolution with groups",
    `graph (x: float32[batch, 4, 5, 5]) -> (y: float32[...]) {
  up.weight: float32[4, 3, 2, 2] = random(seed 1)
${vectors(6)}
  h = ConvTranspose "up" (x, up.weight) {group=2, strides=[2, 2]}
  y = ${norm}
}`,
    [2, 4, 5, 5],
  ],
  [
    "Gemm with a transposed weight",
    `graph (x: float32[batch, 5]) -> (y: float32[...]) {
  fc.weight: float32[4, 5] = random(seed 1)
  fc.bias: float32[4] = random(seed 2)
${vectors(4)}
  h = Gemm "fc" (x, fc.weight, fc.bias) {transB=1}
  y = ${norm}
}`,
    [3, 5],
  ],
  [
    "Gemm without a bias that scales its product",
    `graph (x: float32[batch, 5]) -> (y: float32[...]) {
  fc.weight: float32[5, 4] = random(seed 1)
${vectors(4)}
  h = Gemm "fc" (x, fc.weight) {alpha=0.5}
  y = ${norm}
}`,
    [3, 5],
  ],
  [
    "MatMul, which takes no bias",
    `graph (x: float32[batch, 5]) -> (y: float32[...]) {
  fc.weight: float32[5, 4] = random(seed 1)
${vectors(4)}
  h = MatMul "fc" (x, fc.weight)
  y = ${norm}
}`,
    [3, 5],
  ],
];

async function run(model: Model, dims: readonly number[]): Promise<Batch> {
  const numbers = random(7);
  const x = float32(
    dims,
    Array.from({ length: elementCount(dims) }, () => numbers.normal()),
  );
  const session = await createEngine().load(model);
  try {
    return await session.run({ x });
  } finally {
    await session.release();
  }
}

describe.each(cases)("batch normalization after %s", (_, text, dims) => {
  test("is folded with equal outputs", async () => {
    const model = parseModel(`opset 17\n${text}`);
    const expected = Object.values(await run(model, dims))[0];
    const { changes, misses } = await fuseBatchNorm(model);
    assertValid(model);
    expect(misses).toEqual([]);
    expect(changes).toHaveLength(1);
    expect(printModel(model)).not.toContain("BatchNormalization");
    expect(printModel(model)).not.toContain("variance");
    const [got] = Object.entries(await run(model, dims));
    expect(got?.[0]).toBe(model.graph.outputs[0]?.name);
    if (expected === undefined || got === undefined) throw new Error("no output");
    const numbers = toNumbers(got[1]);
    const largest = Math.max(...toNumbers(expected).map(Math.abs));
    toNumbers(expected).forEach((value, index) => {
      expect(Math.abs(value - (numbers[index] ?? Number.NaN))).toBeLessThan(1e-5 * largest);
    });
  });
});

test("keeps a mask and its zeros", async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 2, 4, 4]) -> (y: float32[...]) {
  conv.weight_orig: float32[3, 2, 1, 1] = random(seed 1)
  conv.weight_mask: float32[3, 2, 1, 1] mask = [1, 0, 1, 1, 0, 1]
${vectors(3)}
  conv.weight = Mul(conv.weight_orig, conv.weight_mask)
  h = Conv "conv" (x, conv.weight)
  y = ${norm}
}`);
  const expected = toNumbers(Object.values(await run(model, [1, 2, 4, 4]))[0] ?? float32([0], []));
  expect((await fuseBatchNorm(model)).changes.map(({ at }) => at)).toEqual(["conv"]);
  expect(model.graph.value("conv.weight_mask")?.uses.size).toBe(1);
  const got = toNumbers(Object.values(await run(model, [1, 2, 4, 4]))[0] ?? float32([0], []));
  got.forEach((value, index) => {
    expect(value).toBeCloseTo(expected[index] ?? Number.NaN, 5);
  });
});

test.each([
  ["batch statistics", `y = BatchNormalization(h, scale, shift, mean, variance) {training_mode=1}`, "batch statistics"],
  ["an output that is used elsewhere", `y0 = ${norm}\n  y = Add(y0, h)`, "used elsewhere"],
  [
    "no layer before it",
    `g = Relu(h)\n  y = BatchNormalization(g, scale, shift, mean, variance)`,
    "no layer comes before it",
  ],
])("changes nothing in case of %s", async (_, lines, reason) => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 2, 4, 4]) -> (y: float32[batch, 3, 4, 4]) {
  conv.weight: float32[3, 2, 1, 1] = random(seed 1)
${vectors(3)}
  h = Conv "conv" (x, conv.weight)
  ${lines}
}`);
  const before = structureHash(model);
  const { changes, misses } = await fuseBatchNorm(model);
  expect(changes).toEqual([]);
  expect(misses.map((miss) => miss.reason).join()).toContain(reason);
  expect(structureHash(model)).toBe(before);
});

test("does not fold into a bias per row if rows and channels are equally many", async () => {
  const model = parseModel(`opset 17
graph (x: float32[2, 2]) -> (y: float32[2, 2]) {
  fc.weight: float32[2, 2] = [1, 2, 3, 4]
  rows: float32[2, 1] = [10, 20]
  factor: float32[2] = [1, 100]
  h = Gemm "fc" (x, fc.weight, rows)
  y = Mul(h, factor)
}`);
  const before = structureHash(model);
  expect((await fuseAffine(model)).changes).toEqual([]);
  expect(structureHash(model)).toBe(before);
});

test("keeps parameters with a role until `finalize`", async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 2, 4, 4]) -> (y: float32[...]) {
  conv.weight: float32[3, 2, 1, 1] = random(seed 1)
${vectors(3, " parameter")}
  h = Conv "conv" (x, conv.weight)
  y = ${norm}
}`);
  expect((await fuseBatchNorm(model)).misses.map(({ reason }) => reason)).toEqual([
    '"scale" is trainable: run `simplify finalize` first',
  ]);
  expect((await fuseBatchNorms(model, { trained: true })).changes).toHaveLength(1);
});

test("does not scale a weight that another layer shares", async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 2, 4, 4]) -> (y: float32[...], z: float32[...]) {
  conv.weight: float32[3, 2, 1, 1] = random(seed 1)
${vectors(3)}
  h = Conv "a" (x, conv.weight)
  z = Conv "b" (x, conv.weight)
  y = ${norm}
}`);
  expect((await fuseBatchNorm(model)).misses.map(({ reason }) => reason)).toEqual([
    '"conv" before it: its weight is shared',
  ]);
});

test("a variance of 0 without epsilon stays a node, because it scales by infinity", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 3]) -> (y) {
  w: float32[3, 2] = random(seed 1)
  vector: float32[2] = [1, 2]
  variance: float32[2] = [1, 0]
  h = Gemm (x, w)
  y = BatchNormalization (h, vector, vector, vector, variance) {epsilon=0.0}
}`);
  expect((await fuseAffine(model)).changes).toEqual([]);
});
