import { describe, expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { structureHash } from "../../core/graph/structure-hash.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { fromNumbers, toFloat64 } from "../../core/tensor/convert.ts";
import { elementCount } from "../../core/tensor/dims.ts";
import { random } from "../../core/tensor/random.ts";
import { dropDeadChannels } from "./drop-dead-channels.ts";
import { simplify } from "./simplify.ts";

const engine = createEngine();

/** Adds random tensors of the given dimensions to a model text. @param zeros rows (first axis) to set to 0. @param numbers fixed values by name. */
function modelOf(
  text: string,
  tensors: Readonly<Record<string, readonly number[]>>,
  zeros: Readonly<Record<string, readonly number[]>>,
  numbers: Readonly<Record<string, readonly number[]>> = {},
): Model {
  const declared = Object.entries(tensors).map(([name, dims]) => {
    const numbersSource = random(5, name);
    const rowSize = elementCount(dims) / (dims[0] ?? 1);
    const data = Array.from({ length: elementCount(dims) }, (_, index) => {
      const number = numbersSource.normal();
      return zeros[name]?.includes(Math.floor(index / rowSize)) === true ? 0 : number;
    });
    return [name, dims, numbers[name] ?? data] as const;
  });
  const stored = declared.map(([name, dims, data]) => {
    return `  ${name}: float32[${dims.join(", ")}] = [${data.join(", ")}]`;
  });
  return parseModel(`opset 17\n${text.replace("{", () => `{\n${stored.join("\n")}`)}`);
}

async function run(model: Model, dims: readonly number[]): Promise<Float64Array> {
  const numbers = random(7, "x");
  const x = fromNumbers(
    "float32",
    dims,
    Array.from({ length: elementCount(dims) }, () => numbers.normal()),
  );
  const session = await engine.load(model, { threads: 1 });
  try {
    const [y] = Object.values(await session.run({ x }));
    return y === undefined ? new Float64Array() : toFloat64(y);
  } finally {
    await session.release();
  }
}

const dimsOf = (model: Model, name: string): readonly number[] | undefined => model.graph.value(name)?.tensor?.dims;

async function simplified(
  model: Model,
  dims: readonly number[],
): Promise<{ model: Model; reasons: readonly string[] }> {
  const before = await run(model, dims);
  const { misses } = await simplify(model, {}, { engine });
  expect(verify(model)).toEqual([]);
  const after = await run(model, dims);
  expect(after.length).toBe(before.length);
  expect(Math.max(...after.map((number, index) => Math.abs(number - (before[index] ?? 0))))).toBeLessThan(1e-5);
  return { model, reasons: misses.map(({ reason }) => reason) };
}

const convolutions = (
  pads: number,
): string => `graph (x: float32[n, 2, 6, 6]) -> (y: float32[n, 3, ${4 + 2 * pads}, ${4 + 2 * pads}]) {
  a = Conv(x, w1, b1) {kernel_shape=[3, 3], pads=[1, 1, 1, 1]}
  n = BatchNormalization(a, scale, shift, mean, variance)
  r = Relu(n)
  y = Conv(r, w2, b2) {kernel_shape=[3, 3], pads=[${pads}, ${pads}, ${pads}, ${pads}]}
}`;
const parts = {
  w1: [4, 2, 3, 3],
  b1: [4],
  scale: [4],
  shift: [4],
  mean: [4],
  variance: [4],
  w2: [3, 4, 3, 3],
  b2: [3],
} as const;
const variance = [1, 2, 0.5, 1];
const x = [2, 2, 6, 6];

describe("simplify with constant channels in convolution, batch normalization, ReLU, convolution", () => {
  test("folds a nonzero constant into the next bias if nothing is padded", async () => {
    const numbers = { variance, shift: [0.1, 0.7, -0.2, 0.3] };
    const { model } = await simplified(modelOf(convolutions(0), parts, { scale: [1] }, numbers), x);
    expect(dimsOf(model, "w1")).toEqual([3, 2, 3, 3]);
    expect(dimsOf(model, "w2")).toEqual([3, 3, 3, 3]);
    expect([...model.graph.nodes()].map(({ op }) => op)).toEqual(["Conv", "Relu", "Conv"]);
  });

  test("keeps a nonzero constant before zero padding, with the reason", async () => {
    const numbers = { variance, shift: [0.1, 0.7, -0.2, 0.3] };
    const { model, reasons } = await simplified(modelOf(convolutions(1), parts, { scale: [1] }, numbers), x);
    expect(dimsOf(model, "w1")).toEqual([4, 2, 3, 3]);
    expect(reasons.join()).toContain("zero padding");
  });

  test("removes a channel of zeros, but not a padded nonzero constant", async () => {
    const numbers = { variance, shift: [0.1, 0.7, -0.2, 0.3] };
    const { model } = await simplified(modelOf(convolutions(1), parts, { scale: [1, 2] }, numbers), x);
    expect(dimsOf(model, "w1")).toEqual([3, 2, 3, 3]);
    expect(dimsOf(model, "w2")).toEqual([3, 3, 3, 3]);
  });

  test("keeps one channel if all are constant", async () => {
    const numbers = { variance, shift: [0.1, 0.7, -0.2, 0.3] };
    const { model } = await simplified(modelOf(convolutions(0), parts, { scale: [0, 1, 2, 3] }, numbers), x);
    expect(dimsOf(model, "w1")).toEqual([1, 2, 3, 3]);
  });

  test("changes nothing without constant channels", async () => {
    const model = modelOf(convolutions(0), parts, {}, { variance });
    await simplify(model, {}, { engine });
    const before = structureHash(model);
    expect(await dropDeadChannels(model, {}, { engine })).toEqual({ changes: [], misses: [] });
    expect(structureHash(model)).toBe(before);
  });
});

test("simplify removes constant channels through pooling and flattening", async () => {
  const text = `graph (x: float32[n, 2, 6, 6]) -> (y: float32[n, 5]) {
  a = Conv(x, w1, b1) {kernel_shape=[3, 3]}
  r = Sigmoid(a)
  p = MaxPool(r) {kernel_shape=[2, 2], strides=[2, 2]}
  f = Flatten(p)
  y = Gemm(f, w2, b2) {transB=1}
}`;
  const tensors = { w1: [4, 2, 3, 3], b1: [4], w2: [5, 16], b2: [5] };
  const { model } = await simplified(modelOf(text, tensors, { w1: [0, 3] }), x);
  expect(dimsOf(model, "w1")).toEqual([2, 2, 3, 3]);
  expect(dimsOf(model, "w2")).toEqual([5, 8]);
});

test("simplify removes constant channels of a matrix product before a bias and an activation", async () => {
  const text = `graph (x: float32[n, m, 3]) -> (y: float32[n, m, 2]) {
  a = MatMul(x, w1)
  ab = Add(a, b1)
  r = Sigmoid(ab)
  c = MatMul(r, w2)
  cb = Add(c, b2)
  y = Tanh(cb)
}`;
  const columns = Array.from({ length: 12 }, (_, index) => (index % 4 === 2 ? 0 : 0.1 * index - 0.4));
  const model = modelOf(text, { w1: [3, 4], b1: [4], w2: [4, 2], b2: [2] }, {}, { w1: columns });
  const { model: after } = await simplified(model, [2, 5, 3]);
  expect(dimsOf(after, "w1")).toEqual([3, 3]);
  expect([...after.graph.nodes()].map(({ op }) => op)).toEqual(["MatMul", "Add", "Sigmoid", "MatMul", "Add", "Tanh"]);
});

describe("simplify with a constant channel of a residual sum", () => {
  const text = `graph (x: float32[n, 3]) -> (y: float32[n, 2]) {
  a = Gemm(x, w1, b1) {transB=1}
  r = Relu(a)
  c = Gemm(r, w2, b2) {transB=1}
  s = Add(a, c)
  y = Gemm(s, w3, b3) {transB=1}
}`;
  const tensors = { w1: [4, 3], b1: [4], w2: [4, 4], b2: [4], w3: [2, 4], b3: [2] };

  test("keeps it if only one operand is constant", async () => {
    const { model } = await simplified(modelOf(text, tensors, { w1: [1] }), [2, 3]);
    expect(dimsOf(model, "w1")).toEqual([4, 3]);
  });

  test("removes it if both operands are 0", async () => {
    const zeros = { w1: [1], b1: [1], w2: [1], b2: [1] };
    const { model } = await simplified(modelOf(text, tensors, zeros), [2, 3]);
    expect(dimsOf(model, "w1")).toEqual([3, 3]);
    expect(dimsOf(model, "w2")).toEqual([3, 3]);
  });

  test("removes it if both operands are constant", async () => {
    const branches = text.replace("Gemm(r, w2", "Gemm(x, w2").replace("r = Relu(a)\n", "");
    const { model } = await simplified(modelOf(branches, { ...tensors, w2: [4, 3] }, { w1: [1], w2: [1] }), [2, 3]);
    expect(dimsOf(model, "w1")).toEqual([3, 3]);
    expect(dimsOf(model, "w3")).toEqual([2, 3]);
  });
});

test.each([
  [0, 3],
  [1, 4],
])(
  "simplify removes a constant channel through a depthwise convolution only without padding: padding %i",
  async (pad, remaining) => {
    const text = `graph (x: float32[n, 2, 6, 6]) -> (y: float32[n, 3, ${4 + 2 * pad}, ${4 + 2 * pad}]) {
  a = Conv(x, w1, b1) {kernel_shape=[1, 1]}
  d = Conv(a, w2, b2) {kernel_shape=[3, 3], group=4, pads=[${pad}, ${pad}, ${pad}, ${pad}]}
  y = Conv(d, w3, b3) {kernel_shape=[1, 1]}
}`;
    const tensors = { w1: [4, 2, 1, 1], b1: [4], w2: [4, 1, 3, 3], b2: [4], w3: [3, 4, 1, 1], b3: [3] };
    const { model } = await simplified(modelOf(text, tensors, { w1: [1] }), x);
    expect(dimsOf(model, "w2")).toEqual([remaining, 1, 3, 3]);
  },
);

test("simplify keeps a constant channel that a computed gate scales", async () => {
  const text = `graph (x: float32[n, 3]) -> (y: float32[n, 2]) {
  a = Gemm(x, w1, b1) {transB=1}
  g = Gemm(x, w2, b2) {transB=1}
  m = Mul(a, g)
  y = Gemm(m, w3, b3) {transB=1}
}`;
  const tensors = { w1: [4, 3], b1: [4], w2: [1, 3], b2: [1], w3: [2, 4], b3: [2] };
  const { model, reasons } = await simplified(modelOf(text, tensors, { w1: [1] }), [2, 3]);
  expect(dimsOf(model, "w1")).toEqual([4, 3]);
  expect(reasons.join()).toContain("more than a constant");
});

test("dropDeadChannels keeps channels of tensors with a role", async () => {
  const model = modelOf(convolutions(0), parts, { w1: [1], b1: [1], shift: [1], mean: [1] }, { variance });
  const mask = model.graph.value("w1");
  if (mask !== undefined) mask.role = { kind: "parameter" };
  const before = structureHash(model);
  expect((await dropDeadChannels(model, {}, { engine })).changes).toEqual([]);
  expect(structureHash(model)).toBe(before);
});
