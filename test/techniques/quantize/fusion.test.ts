/** ONNX Runtime fuses each integer operator of the static scheme into one kernel. Pith adds no rounding to operators without a kernel. */
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { memory } from "../../../src/data/index.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { difference, numbersFor, operators, run } from "./networks.ts";

const folder = temporaryFolder();

/** Puts an operator between two convolutions: it computes `o` from `h`. */
const between = (body: string): string => `opset 17
graph (x: float32[n, 4, 6, 6]) -> (y) {
  a.weight: float32[4, 4, 1, 1] = random(seed 1)
  a.bias: float32[4] = random(seed 2)
  b.weight: float32[4, 4, 1, 1] = random(seed 3)
  h = Conv(x, a.weight, a.bias)
  ${body}
  y = Conv(o, b.weight)
}`;

/** Puts an operator between two matrix products. */
const amid = (body: string): string => `opset 17
graph (x: float32[n, 8]) -> (y) {
  a.weight: float32[8, 8] = random(seed 1)
  b.weight: float32[8, 4] = random(seed 3)
  h = MatMul(x, a.weight)
  ${body}
  y = MatMul(o, b.weight)
}`;

const inputOf = (text: string) => numbersFor(text.includes("float32[n, 4, 6, 6]") ? [16, 4, 6, 6] : [16, 8]);

async function optimized(text: string, options: QuantizeOptions = {}) {
  const model = parseModel(text);
  const x = inputOf(text);
  const outcome = await quantize(model, { scheme: "static", data: memory("x", { x }), ...options });
  const path = join(folder, "written.onnx");
  await save(model, path);
  const optimizedModelFilePath = join(folder, "optimized.onnx");
  const session = await InferenceSession.create(path, {
    optimizedModelFilePath,
    executionProviders: ["cpu"],
    logSeverityLevel: 3,
  });
  await session.release();
  const ran = operators(await open(optimizedModelFilePath)).sort();
  expect(difference(await run(parseModel(text), { x }), await run(model, { x }))).toBeLessThan(0.1);
  return { ran, written: operators(model), ...outcome };
}

/** Operators at the ends of the network that quantize or change the layout. */
const ends = new Set(["QuantizeLinear", "DequantizeLinear", "Transpose"]);
const inside = (ran: readonly string[]): string[] => ran.filter((op) => !ends.has(op));
const count = (ran: readonly string[], op: string): number => ran.filter((one) => one === op).length;

describe("ONNX Runtime fuses to one integer kernel", () => {
  test.each([
    ["Conv", between("o = Relu(h)"), ["QLinearConv", "QLinearConv"]],
    ["MatMul", amid("o = Relu(h)"), ["QLinearMatMul", "QLinearMatMul"]],
    [
      "Gemm",
      amid("c: float32[4] = random(seed 5)\n  o = Relu(h)").replace(
        "MatMul(o, b.weight)",
        "Gemm(o, b.weight, c) {beta=0.5}",
      ),
      ["QGemm", "QLinearMatMul"],
    ],
    ["Add", between("o = Add(h, x)"), ["QLinearAdd", "QLinearConv", "QLinearConv"]],
    ["Mul", between("o = Mul(h, x)"), ["QLinearConv", "QLinearConv", "QLinearMul"]],
    [
      "Concat",
      between("c = Concat(h, x) {axis=2}\n  o = MaxPool(c) {kernel_shape=[2, 2]}"),
      ["MaxPool", "QLinearConcat", "QLinearConv", "QLinearConv"],
    ],
    [
      "AveragePool",
      between("o = AveragePool(h) {kernel_shape=[2, 2]}"),
      ["QLinearAveragePool", "QLinearConv", "QLinearConv"],
    ],
    [
      "GlobalAveragePool",
      between("o = GlobalAveragePool(h)"),
      ["QLinearConv", "QLinearConv", "QLinearGlobalAveragePool"],
    ],
    ["LeakyRelu", between("o = LeakyRelu(h) {alpha=0.1}"), ["QLinearConv", "QLinearConv", "QLinearLeakyRelu"]],
    ["Sigmoid", between("o = Sigmoid(h)"), ["QLinearConv", "QLinearConv", "QLinearSigmoid"]],
    [
      "Where",
      between("zero: float32[] = 0\n  p = Greater(x, zero)\n  o = Where(p, h, x)"),
      ["Greater", "QLinearConv", "QLinearConv", "QLinearWhere"],
    ],
    [
      "Clip",
      between("low: float32[] = 0\n  high: float32[] = 6\n  o = Clip(h, low, high)"),
      ["QLinearConv", "QLinearConv"],
    ],
  ])("%s", async (_, text, expected) => {
    const { ran, misses } = await optimized(text);
    expect(inside(ran)).toEqual(expected);
    expect(misses).toEqual([]);
  });
});

test("fuses convolutions of every integer type, per tensor and per channel", async () => {
  for (const [activations, weights] of [
    ["uint8", "int8"],
    ["uint8", "uint8"],
    ["int8", "int8"],
  ] as const)
    for (const perChannel of [true, false]) {
      const { ran } = await optimized(between("o = Relu(h)"), { activations, weights, perChannel });
      expect(inside(ran), `${activations} × ${weights}`).toEqual(["QLinearConv", "QLinearConv"]);
    }
});

describe("operators that ONNX Runtime fuses next to quantized ones", () => {
  test.each([
    [
      "MatMul of activations with a float result",
      amid("t = Transpose(h)\n  r = MatMul(h, t)\n  s = Sin(r)\n  o = MatMul(s, h)"),
      "MatMulIntegerToFloat",
    ],
    ["Softmax whose result is quantized", amid("o = Softmax(h)"), "QLinearSoftmax"],
  ])("%s", async (_, text, op) => {
    const { ran, written } = await optimized(text);
    expect(written).not.toContain(op);
    expect(ran).toContain(op);
  });

  test("ArgMax reads quantized values", async () => {
    const { ran, written } = await optimized(
      between("o = ArgMax(h) {axis=1}").replace("Conv(o, b.weight)", "Cast(o) {to=1}"),
    );
    expect(count(written, "DequantizeLinear")).toBeGreaterThan(0);
    expect(inside(ran)).toEqual(["ArgMax", "Cast", "QLinearConv"]);
    expect(count(ran, "DequantizeLinear")).toBe(0);
  });
});

test("fuses products with weight-only and dynamic quantization", async () => {
  // ONNX Runtime does not fuse a product with quantized weights that a Relu follows.
  const product = amid("o = Tanh(h)");
  const gemm = product
    .replace("h = ", "c: float32[4] = random(seed 5)\n  h = ")
    .replace("MatMul(o, b.weight)", "Gemm(o, b.weight, c)");
  for (const [options, kernel] of [
    [{ scheme: "weights" }, "MatMulNBits"],
    [{ scheme: "weights", perChannel: false }, "MatMulNBits"],
    [{ scheme: "weights", bits: 4, block: 16, onnxOnly: true }, "MatMulNBits"],
    [{ scheme: "dynamic" }, "DynamicQuantizeMatMul"],
  ] as const)
    for (const text of [product, gemm]) {
      const { ran } = await optimized(text, { ...options, data: undefined });
      expect(
        inside(ran).filter((op) => !/^(Tanh|Add)$/.test(op)),
        JSON.stringify(options),
      ).toEqual([kernel, kernel]);
    }
});

describe("an operator runs on quantized values", () => {
  test.each([
    ["Reshape", amid("s: int64[2] = [0, 8]\n  o = Reshape(h, s)"), "Reshape"],
    ["Transpose", between("o = Transpose(h) {perm=[0, 1, 3, 2]}"), "Transpose"],
    ["Squeeze, Unsqueeze", amid("s: int64[1] = [1]\n  u = Unsqueeze(h, s)\n  o = Squeeze(u, s)"), "Squeeze"],
    ["Flatten", amid("o = Flatten(h)"), "Flatten"],
    [
      "Slice",
      between("from: int64[1] = [1]\n  to: int64[1] = [4]\n  axis: int64[1] = [2]\n  o = Slice(h, from, to, axis)"),
      "Slice",
    ],
    ["Gather", between("i: int64[2] = [3, 1]\n  o = Gather(h, i) {axis=2}"), "Gather"],
    [
      "GatherElements",
      amid("i: int64[1, 8] = [7, 6, 5, 4, 3, 2, 1, 0]\n  o = GatherElements(h, i) {axis=1}"),
      "GatherElements",
    ],
    ["Split", amid("s: int64[2] = [4, 4]\n  p, q = Split(h, s) {axis=1}\n  o = Concat(q, p) {axis=1}"), "Split"],
    ["MaxPool", between("o = MaxPool(h) {kernel_shape=[2, 2]}"), "NhwcMaxPool"],
    [
      "Resize",
      between('none: float32[0] = []\n  by: float32[4] = [1, 1, 2, 2]\n  o = Resize(h, none, by) {mode="nearest"}'),
      "Resize",
    ],
    [
      "Expand",
      between("m = MaxPool(h) {kernel_shape=[6, 6]}\n  s: int64[4] = [1, 1, 2, 2]\n  o = Expand(m, s)"),
      "Expand",
    ],
    ["DepthToSpace", between("o = DepthToSpace(h) {blocksize=1}"), "DepthToSpace"],
    ["Tile", between("s: int64[4] = [1, 1, 2, 2]\n  o = Tile(h, s)"), "Tile"],
    ["ReduceMax", between("o = ReduceMax(h) {axes=[2, 3]}"), "ReduceMax"],
    ["ReduceMin", between("o = ReduceMin(h) {axes=[2, 3]}"), "ReduceMin"],
    ["Pad", between('p: int64[8] = [0, 0, 1, 1, 0, 0, 1, 1]\n  o = Pad(h, p) {mode="edge"}'), "Pad"],
  ])("%s", async (_, text, op) => {
    const { ran } = await optimized(text);
    expect(ran).toContain(op);
    expect([count(ran, "QuantizeLinear"), count(ran, "DequantizeLinear")]).toEqual([1, 1]);
  });
});

describe("operators without an integer kernel are not quantized, and reported as skipped", () => {
  test.each([
    ["Tanh", between('o = Tanh "own" (h)')],
    ["HardSigmoid", between('o = HardSigmoid "own" (h)')],
    ["Erf", between('o = Erf "own" (h)')],
    ["Gelu", between('o = com.microsoft.Gelu "own" (h)')],
    ["Sub", between('o = Sub "own" (h, x)')],
    ["Div", between('two: float32[] = 2\n  o = Div "own" (h, two)')],
    ["Softmax", between('o = Softmax "own" (h)')],
    [
      "InstanceNormalization",
      between('g: float32[4] = ones\n  s: float32[4] = zeros\n  o = InstanceNormalization "own" (h, g, s)'),
    ],
    [
      "LayerNormalization",
      amid('g: float32[8] = ones\n  s: float32[8] = zeros\n  o = LayerNormalization "own" (h, g, s)'),
    ],
  ])("%s", async (op, text) => {
    const { written, changes, misses } = await optimized(text);
    // Input and result of the first layer, and of the second: none belongs to the operator.
    expect([op, count(written, "QuantizeLinear")]).toEqual([op, 4]);
    expect(changes.map(({ at }) => at)).not.toContain("own");
    expect(misses.map(({ at }) => at).some((at) => at?.includes("own") || at === "t")).toBe(true);
  });
});

test.each(["t", "Relu(t)", "LeakyRelu(t)"])(
  "a transposed convolution in groups keeps its float bias between quantized values: o = %s",
  async (activation) => {
    const { ran } = await optimized(
      between(`t.weight: float32[4, 2, 2, 2] = random(seed 4)
  t.bias: float32[4] = random(seed 5)
  t = ConvTranspose "own" (h, t.weight, t.bias) {group=2}
  o = ${activation === "t" ? "Identity(t)" : activation}`),
    );
    expect([count(ran, "ConvTranspose"), count(ran, "QLinearConv")]).toEqual([1, 2]);
  },
);

test("a dilated average pool stays in float, and the file loads", async () => {
  // Between quantized values, ONNX Runtime 1.30 fuses it to QLinearAveragePool, which has no dilations.
  const model = parseModel(`opset 19
graph (x: float32[batch, 1, 5, 5]) -> (z) {
  a: float32[5, 5] = random(seed 1)
  b: float32[3, 3] = random(seed 2)
  h: float32[batch, 1, 5, 5] = MatMul(x, a)
  y: float32[batch, 1, 3, 3] = AveragePool "pool" (h) {kernel_shape=[2, 2], dilations=[2, 2]}
  z = MatMul(y, b)
}`);
  const x = numbersFor([8, 1, 5, 5]);
  const before = await run(model, { x });
  const { changes, misses } = await quantize(model, { scheme: "static", data: memory("x", { x }) });
  expect(changes).toHaveLength(2);
  expect(misses.map(({ at }) => at)).toEqual(['AveragePool "pool"']);
  expect(difference(await run(model, { x }), before)).toBeLessThan(0.05);
});

test.each(["o = Relu(h)", "o = Identity(h)"])(
  "does not quantize the weight of a float layer between quantized ones: %s",
  async (activation) => {
    const text = `opset 17
graph (x: float32[n, 4, 6, 6]) -> (y) {
  a.weight: float32[4, 4, 1, 1] = random(seed 1)
  f.weight: float32[4, 4, 1, 1] = random(seed 2)
  b.weight: float32[4, 4, 1, 1] = random(seed 3)
  g = Conv "a" (x, a.weight)
  h = Conv "f" (g, f.weight)
  ${activation}
  y = Conv "b" (o, b.weight)
}`;
    const { ran } = await optimized(text, { overrides: { f: { float: true } } });
    // Float convolutions can use ONNX Runtime's blocked channel layout. One convolution computes on integers.
    expect([count(ran, "Conv") >= 1, count(ran, "QLinearConv")]).toEqual([true, 1]);
  },
);
