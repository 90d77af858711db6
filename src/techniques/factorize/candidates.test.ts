/** Tests which layers can be factorized, and which factors the readers of a shared weight use. */
import { expect, it } from "vitest";
import {
  dims,
  factorize,
  listStoredNames,
  run,
  setWeight,
  weightsOf,
} from "../../../test/techniques/factorize/models.ts";
import { topology } from "../../../test/zoo/topologies.ts";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { fromDense, type Matrix, multiply } from "../../core/math/matrix.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { elementCount } from "../../core/tensor/dims.ts";
import { linear, network } from "../../learn/nn/index.ts";
import { quantize } from "../quantize/index.ts";

const _engine = createEngine();
async function matrixAt(model: Model, name: string): Promise<Matrix> {
  const tensor = model.graph.value(name)?.tensor;
  if (tensor === undefined) throw new Error(`There is no ${name}.`);
  return fromDense(await tensor.read());
}

it("factorizes a weight once if two layers read it, one of them transposed", async () => {
  const model = parseModel(`opset 17
graph (x: float32[2, 6]) -> (y: float32[2, 6]) {
  w: float32[6, 6] = random(seed 1)
  h = Gemm "a" (x, w) {transB=1}
  y = Gemm "b" (h, w)
}`);
  const feeds = {
    x: float32(
      [2, 6],
      Float32Array.from({ length: 12 }, (_, index) => Math.cos(index)),
    ),
  };
  const once = parseModel(`opset 17
graph (x: float32[2, 6]) -> (y: float32[2, 6]) {
  w: float32[6, 6] = random(seed 1)
  v: float32[6, 6] = random(seed 1)
  h = Gemm "a" (x, w) {transB=1}
  y = Gemm "b" (h, v)
}`);
  await factorize(model, { rank: 2 });
  await factorize(once, { rank: 2 });
  // Both layers share the two factors.
  expect(listStoredNames(model)).toEqual(["a.down.weight", "a.up.weight"]);
  const expected = await run(once, feeds);
  (await run(model, feeds)).forEach((value, index) => {
    expect(value).toBeCloseTo(expected[index] ?? Number.NaN, 3);
  });
});

it.each([
  ["matrix", "x: float32[2, 24]", "h = MatMul(x, w)\n  r = Relu(h)\n  wt = Transpose(w)\n  y = MatMul(r, wt)"],
  [
    "matrix, transposed first",
    "x: float32[2, 30]",
    "wt = Transpose(w)\n  h = MatMul(x, wt)\n  r = Relu(h)\n  y = MatMul(r, w)",
  ],
  ["table", "x: int64[2, 5]", "h = Gather(w, x)\n  wt = Transpose(w) {perm=[1, 0]}\n  y = MatMul(h, wt)"],
  [
    "matrix, transposed twice",
    "x: float32[2, 24]",
    "wt = Transpose(w)\n  w2 = Transpose(wt)\n  h = MatMul(x, w2)\n  y = MatMul(h, wt)",
  ],
  [
    "matrix, laid out by a Constant node",
    "x: float32[2, 24]",
    "s = Constant() {value_ints=[24, 30]}\n  r = Reshape(w, s)\n  t = Transpose(r)\n  h = MatMul(x, r)\n  y = MatMul(h, t)",
  ],
  [
    "matrix, transposed for each reader",
    "x: float32[2, 30]",
    "a = Transpose(w)\n  b = Transpose(w)\n  p = MatMul(x, a)\n  q = MatMul(x, b)\n  y = Add(p, q)",
  ],
])("gives the factors to all readers of a %s, also after a transposition", async (_, input, lines) => {
  const model = parseModel(`opset 17\ngraph (${input}) -> (y) {\n  w: float32[24, 30] = zeros\n  ${lines}\n}`);
  setWeight(model, "w", (index) => Math.sin(Math.floor(index / 30) + (index % 30)) + 0.1);
  const size = (/\[(.*)\]/.exec(input)?.[1] ?? "").split(", ").map(Number);
  const numbers = Array.from({ length: elementCount(size) }, (_, index) => (7 * index) % 24);
  const x = input.includes("int64") ? int64(size, numbers) : float32(size, Float32Array.from(numbers));
  const before = await run(model, { x });
  const { changes, misses } = await factorize(model, { rank: 3 });
  expect(misses).toEqual([]);
  expect(changes).toHaveLength(2);
  expect(verify(model)).toEqual([]);
  // sin(a + b) = sin a cos b + cos a sin b is of rank 2, and the constant adds one.
  expect(weightsOf(model)).toBe(3 * (24 + 30));
  (await run(model, { x })).forEach((value, index) => {
    expect(Math.abs(value - (before[index] ?? Number.NaN))).toBeLessThan(1e-4 * Math.max(...before.map(Math.abs)));
  });
});

it.each([
  ['w2 = Neg(w)\n  h = MatMul "a" (x, w)\n  y = MatMul "b" (h, w2)', 'MatMul "b"'],
  ['h = Gemm "a" (x, w, w)\n  y = Relu(h)', 'Gemm "a"'],
  ['y = MatMul "a" (x, w)\n  z = Neg(w)', 'output "z"'],
  [
    'h = MatMul "a" (x, w)\n  k = If "b" (c) {then_branch=graph () -> (s) { s = Neg(w) }, else_branch=graph () -> (t) { t = Identity(w) }}\n  y = Add(h, k)',
    'If "b"',
  ],
])("skips a weight that another node or output reads: %s", async (lines, other) => {
  const outputs = lines.includes("z =") ? "y, z" : "y";
  const model = parseModel(`opset 17
graph (x: float32[12, 12], c: bool[]) -> (${outputs}) {
  w: float32[12, 12] = random(seed 1)
  ${lines}
}`);
  const { changes, misses } = await factorize(model, { layers: "a", rank: 2 });
  expect(changes).toEqual([]);
  expect(misses.map(({ reason }) => reason)).toEqual([
    `${other} also reads its weight, so the file would need both the weight and the factors`,
  ]);
});

it("skips all readers of a shared weight if one of them is rejected", async () => {
  const model = parseModel(`opset 17
graph (x: float32[2, 12]) -> (y) {
  w: float32[12, 12] = random(seed 1)
  h = MatMul "a" (x, w)
  y = Gemm "b" (h, w) {transB=1}
}`);
  const { changes, misses } = await factorize(model, { rank: 2, overrides: { MatMul: { rank: 9 } } });
  expect(changes).toEqual([]);
  expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
    "a: rank 9 does not make the layer smaller, ranks up to 5 do",
    'b: layer "a", which reads the same weight, stays: rank 9 does not make the layer smaller, ranks up to 5 do',
  ]);
});

it("reports layers with a shared weight if only one of them is selected", async () => {
  const shared = () =>
    parseModel(`opset 17
graph (x: float32[2, 12]) -> (y) {
  w: float32[12, 12] = random(seed 1)
  h = MatMul "a" (x, w)
  y = MatMul "b" (h, w)
}`);
  const { changes, misses } = await factorize(shared(), { layers: "a", rank: 2 });
  expect(changes).toEqual([]);
  expect(misses.map(({ reason }) => reason)).toEqual([
    'MatMul "b" also reads its weight: layers that share a weight can only be factorized together',
  ]);
  const together = await factorize(shared(), { rank: 2 });
  expect(together.changes.map(({ at }) => at)).toEqual(["a", "b"]);
});

it("skips both weights of a tied pair", async () => {
  const model = parseModel(`opset 21
graph (x: float32[1, 6]) -> (y) {
  a.weight: float32[6, 6] parameter = random(seed 1)
  b.weight: float32[6, 6] tied(a.weight) = random(seed 1)
  h = MatMul (x, a.weight)
  y = MatMul (h, b.weight)
}`);
  const { changes, misses } = await factorize(model, { rank: 2 });
  expect(changes).toEqual([]);
  expect(misses.map(({ at, reason }) => [at, reason])).toEqual([
    ["a", 'its weight is tied to "b.weight"'],
    ["b", 'its weight is tied to "a.weight"'],
  ]);
});

it("skips a weight with QuantizeLinear and DequantizeLinear", async () => {
  const model = parseModel(`opset 17
graph (x: float32[2, 6]) -> (y: float32[2, 6]) {
  fc.weight: float32[6, 6] = random(seed 1)
  scale: float32[] = 0.1
  zero: int8[] = 0
  q = QuantizeLinear(fc.weight, scale, zero)
  w = DequantizeLinear(q, scale, zero)
  y = MatMul(x, w)
}`);
  const { changes, misses } = await factorize(model, { rank: 2 });
  expect(changes).toEqual([]);
  expect(misses[0]?.reason).toContain("its weight has fake quantization");
});

it("skips a weight with straight-through rounding", async () => {
  const model = parseModel(`opset 17
graph (x: float32[2, 6]) -> (y: float32[2, 6]) {
  fc.weight: float32[6, 6] = random(seed 1)
  k: float32[] = 0.5
  d = Div(fc.weight, k)
  w: float32[6, 6] straight-through = Round(d)
  y = MatMul(x, w)
}`);
  const { changes, misses } = await factorize(model, { rank: 2 });
  expect(changes).toEqual([]);
  expect(misses[0]?.reason).toContain("its weight has fake quantization");
});

it.each([{ scheme: "weights" }, { scheme: "weights", bits: 4 }, { scheme: "dynamic" }] as const)(
  "skips quantized weights and advises to quantize later: %o",
  async (options) => {
    const model = network({ fc: linear(64, 64) }, { input: ["batch", 64], seed: 1 });
    await quantize(model, options);
    const { changes, misses } = await factorize(model, { rank: 2 });
    expect(changes).toEqual([]);
    expect(misses[0]?.reason).toMatch(/^its weight is quantized already.*: `quantize` must be a later step$/);
  },
);

it("skips a kernel that two convolutions read with different numbers of groups", async () => {
  const model = parseModel(`opset 17
graph (x: float32[1, 4, 5, 5], z: float32[1, 8, 5, 5]) -> (y, v) {
  w: float32[4, 4, 1, 1] = random(seed 1)
  y = Conv "whole" (x, w)
  v = Conv "halves" (z, w) {group=2}
}`);
  const { changes, misses } = await factorize(model, { rank: 1 });
  expect(changes).toEqual([]);
  expect(misses.map(({ at, reason }) => [at, reason])).toEqual([
    ["whole", expect.stringMatching(/^Conv "halves" also reads its weight/)],
    ["halves", expect.stringMatching(/^Conv "whole" also reads its weight/)],
  ]);
});

it("skips depthwise and transposed convolutions with a reason", async () => {
  const depthwise = parseModel(`opset 17
graph (x: float32[1, 4, 6, 6]) -> (y: float32[1, 4, 6, 6]) {
  w: float32[4, 1, 3, 3] = random(seed 1)
  y = Conv "depthwise" (x, w) {group=4, pads=[1, 1, 1, 1]}
}`);
  expect(await factorize(depthwise, { rank: 1 })).toMatchObject({
    changes: [],
    misses: [{ at: "depthwise", reason: "it is depthwise: it does not mix channels" }],
  });
  const { misses } = await factorize(parseModel(topology("conv-transpose").text), { rank: 1 });
  expect(misses.map(({ reason }) => reason)).toContain("its operator cannot be written as a chain of layers");
});

it.each([
  ["nan", "NaN"],
  ["inf", "infinity"],
])("skips a layer that contains %s and factorizes the others", async (value, name) => {
  const model = parseModel(`opset 17
graph (x: float32[n, 8]) -> (y) {
  fc1.weight: float32[8, 8] = random(seed 1)
  fc2.weight: float32[8, 8] = [${[value, ...Array.from({ length: 63 }, () => 1)].join(", ")}]
  h = MatMul(x, fc1.weight)
  y = MatMul(h, fc2.weight)
}`);
  const { changes, misses } = await factorize(model, { rank: 2 });
  expect(changes.map(({ at }) => at)).toEqual(["fc1"]);
  expect(misses).toMatchObject([{ at: "fc2", reason: `its weight holds ${name}` }]);
});

it("factorizes an embedding table and shares the factors with a tied head", async () => {
  const model = parseModel(`opset 17
graph (ids: int64[2, 3]) -> (y: float32[6, 20]) {
  table: float32[20, 8] = random(seed 1)
  shape: int64[2] = [6, 8]
  e = Gather "embedding" (table, ids)
  h = Reshape(e, shape)
  y = Gemm "head" (h, table) {transB=1}
}`);
  const { changes, misses } = await factorize(model, { rank: 3 });
  expect([changes.map(({ at }) => at), misses]).toEqual([["embedding", "head"], []]);
  expect(listStoredNames(model)).toEqual(["embedding.down.weight", "embedding.up.weight", "shape"]);
  expect([dims(model, "embedding.down.weight"), dims(model, "embedding.up.weight")]).toEqual([
    [20, 3],
    [3, 8],
  ]);
  expect(verify(model)).toEqual([]);
  const ids = { type: "int64", dims: [2, 3], data: BigInt64Array.of(0n, 3n, 19n, 7n, 7n, 2n) } as const;
  const truncated = multiply(
    await matrixAt(model, "embedding.down.weight"),
    await matrixAt(model, "embedding.up.weight"),
  );
  const row = (index: number): readonly number[] => [...truncated.data.subarray(index * 8, index * 8 + 8)];
  const expected = [0, 3, 19, 7, 7, 2].flatMap((id) =>
    Array.from({ length: 20 }, (_, other) =>
      row(id).reduce((sum, value, index) => sum + value * (row(other)[index] ?? 0), 0),
    ),
  );
  for (const [index, value] of (await run(model, { ids })).entries())
    expect(value).toBeCloseTo(expected[index] ?? Number.NaN, 3);
});
