/** Tests the scheme "dynamic": the exact form that ONNX Runtime fuses, and what it computes. */
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { learnedCount, learnedTensors } from "../../../src/core/analysis/learned-tensors.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { toFloat64, toNumbers } from "../../../src/core/tensor/convert.ts";
import { int64 } from "../../../src/core/tensor/dense.ts";
import type { Dense } from "../../../src/core/tensor/types.ts";
import { memory } from "../../../src/data/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { quantizeWeights } from "../../../src/techniques/quantize/quantize-tensor.ts";
import { hasExactProducts } from "../../int8-products.ts";
import { cnn, difference, layerNames, mlp, numbersFor, operators, run, stored } from "./networks.ts";
import { dequantized, roundedDynamically } from "./reference.ts";

const fused = ["DynamicQuantizeLinear", "MatMulInteger", "Mul", "Cast", "Mul"];

test("writes matrix products in the form that ONNX Runtime fuses into DynamicQuantizeMatMul", async () => {
  const model = mlp();
  const { changes, misses } = await quantize(model, { scheme: "dynamic" });
  assertValid(model);
  expect(misses).toEqual([]);
  expect(changes.map(({ at }) => at)).toEqual(["fc1", "fc2"]);
  expect(operators(model)).toEqual([...fused, "Add", "Relu", ...fused, "Add"]);
  expect(await stored(model, "fc1.weight_quantized")).toMatchObject({ type: "int8", dims: [12, 16] });
  expect((await stored(model, "fc1.weight_scale")).dims).toEqual([16]);
  const integer = [...model.graph.nodes()].find(({ op }) => op === "MatMulInteger");
  expect(integer?.inputs).toHaveLength(3);
});

test.each([
  ["LSTM", 4],
  ["GRU", 3],
])("%s keeps float arithmetic and stores 8-bit weights in an old opset", async (op, gates) => {
  const text = `opset 11
graph (x: float32[steps, batch, 8], ids: int64[n]) -> (y, e) {
  lstm.weight: float32[1, ${gates * 16}, 8] = random(seed 1)
  lstm.recurrent: float32[1, ${gates * 16}, 16] = random(seed 2)
  table: float32[20, 6] = random(seed 3)
  y = ${op} "lstm" (x, lstm.weight, lstm.recurrent) {hidden_size=16}
  e = Gather "embed" (table, ids)
}`;
  const model = parseModel(text);
  const { misses } = await quantize(model, { scheme: "dynamic" });
  assertValid(model);
  expect(misses).toEqual([]);
  for (const name of ["lstm.weight", "lstm.recurrent", "table"])
    expect((await stored(model, `${name}_quantized`)).type).toBe("int8");
  const feeds = { x: numbersFor([5, 2, 8]), ids: int64([2], [3, 19]) };
  expect(difference(await run(parseModel(text), feeds), await run(model, feeds))).toBeLessThan(0.02);
});

test.each(["static", "dynamic"] as const)(
  "stores weights of operators without an integer kernel in 8 bits, also if no layer has one: %s",
  async (scheme) => {
    const text = `opset 13
graph (x: float32[n, 4, 6, 6]) -> (y) {
  up.weight: float32[4, 3, 3, 3] = random(seed 1)
  up.bias: float32[6] = random(seed 2)
  mix.weight: float32[6, 5] = random(seed 3)
  h = ConvTranspose "up" (x, up.weight, up.bias) {group=2, strides=[2, 2]}
  y = Einsum "mix" (h, mix.weight) {equation="nchw,cd->ndhw"}
}`;
    const model = parseModel(text);
    const x = numbersFor([4, 4, 6, 6]);
    const { changes, misses } = await quantize(model, { scheme, data: memory("x", { x }) });
    assertValid(model);
    expect([changes.map(({ at }) => at), misses]).toEqual([["up", "mix"], []]);
    for (const name of ["up.weight", "mix.weight"])
      expect((await stored(model, `${name}_quantized`)).type).toBe("int8");
    expect(difference(await run(parseModel(text), { x }), await run(model, { x }))).toBeLessThan(0.02);
  },
);

test("stores a bias that several layers share once", async () => {
  const model = parseModel(`opset 17
graph (x: float32[n, 4, 6, 6]) -> (y) {
  a.weight: float32[4, 4, 1, 1] = random(seed 1)
  b.weight: float32[4, 4, 1, 1] = random(seed 2)
  bias: float32[4] = random(seed 3)
  h = Conv(x, a.weight, bias)
  y = Conv(h, b.weight, bias)
}`);
  await quantize(model, { scheme: "dynamic" });
  const biases = [...model.graph.values()].filter(({ name, tensor }) => tensor && name.startsWith("bias"));
  expect(biases.map(({ tensor, uses }) => [tensor?.dims, uses.size])).toEqual([[[4, 1, 1], 2]]);
});

test.each(["", "{transB=1}"])("counts biases as parameters: a product %s", async (attributes) => {
  const dims = attributes === "" ? ["[6, 8]", "[8, 5]"] : ["[8, 6]", "[5, 8]"];
  await keepsItsCount(`opset 17
graph (x: float32[batch, 6]) -> (y) {
  a.weight: float32${dims[0]} = random(seed 1)
  a.bias: float32[8] = random(seed 2)
  b.weight: float32${dims[1]} = random(seed 3)
  b.bias: float32[5] = random(seed 4)
  h = Gemm(x, a.weight, a.bias) ${attributes}
  r = Relu(h)
  y = Gemm(r, b.weight, b.bias) ${attributes}
}`);
});

test("counts biases as parameters: convolutions", async () => {
  await keepsItsCount(`opset 17
graph (x: float32[batch, 3, 8, 8]) -> (y) {
  a.weight: float32[8, 3, 3, 3] = random(seed 1)
  a.bias: float32[8] = random(seed 2)
  b.weight: float32[5, 8, 3, 3] = random(seed 3)
  b.bias: float32[5] = random(seed 4)
  h = Conv(x, a.weight, a.bias)
  r = Relu(h)
  y = Conv(r, b.weight, b.bias)
}`);
});

async function keepsItsCount(text: string): Promise<void> {
  const model = parseModel(text);
  const before = learnedCount(await learnedTensors(model, infer(model)));
  const { changes } = await quantize(model, { scheme: "dynamic" });
  expect(changes).toHaveLength(2);
  expect(learnedCount(await learnedTensors(model, infer(model)))).toBe(before);
}

test.each([
  ["[1, 1, 5]", "one"],
  ["[1, 1, 1, 5]", "two"],
])("stores a bias of %s as a vector, and keeps the axes of outputs", async (shape) => {
  const text = `opset 17
graph (x: float32[n, 6]) -> (y) {
  a.weight: float32[6, 5] = random(seed 1)
  a.bias: float32${shape} = random(seed 2)
  h = MatMul(x, a.weight)
  y = Add(h, a.bias)
}`;
  const [original, model] = [parseModel(text), parseModel(text)];
  await quantize(model, { scheme: "dynamic" });
  assertValid(model);
  const readByAdd = [...model.graph.nodes()].find(({ op }) => op === "Add")?.inputs.map((value) => value?.tensor?.dims);
  expect(readByAdd).toContainEqual([5]);
  const feeds = { x: numbersFor([3, 6]) };
  const dims: (readonly number[] | undefined)[] = [];
  for (const variant of [original, model]) {
    const session = await createEngine().load(variant);
    dims.push((await session.run(feeds)).y?.dims);
    await session.release();
  }
  expect(dims[1]).toEqual(dims[0]);
  expect(difference(await run(original, feeds), await run(model, feeds))).toBeLessThan(0.02);
});

test.each([
  ["has as many axes", "float32[1, 5]"],
  ["has an axis of several elements before", "float32[2, 1, 5]"],
])("does not change a bias that %s", async (_, type) => {
  const model = parseModel(`opset 17
graph (x: float32[n, 6]) -> (y) {
  a.weight: float32[6, 5] = random(seed 1)
  a.bias: ${type} = random(seed 2)
  h = MatMul(x, a.weight)
  y = Add(h, a.bias)
}`);
  await quantize(model, { scheme: "dynamic" });
  expect(operators(model)).toEqual([...fused, "Add"]);
});

describe("the outputs of a quantized layer", () => {
  /** Multiplies the quantized operands in float64. */
  function product(x: Dense<"float32">, weight: Dense, transposed: boolean, bias: Dense, factor = 1): Float64Array {
    const rounded = roundedDynamically(x.data);
    const codes = quantizeWeights({ dense: weight, type: "int8", axis: transposed ? 0 : 1 });
    const w = dequantized(codes).data;
    const b = toFloat64(bias);
    const [rows = 0, shared = 0] = x.dims;
    const columns = weight.dims[transposed ? 0 : 1] ?? 0;
    return Float64Array.from({ length: rows * columns }, (_, index) => {
      const [row, column] = [Math.floor(index / columns), index % columns];
      let sum = factor * (b[column] ?? 0);
      for (let k = 0; k < shared; k++) {
        const entry = transposed ? w[column * shared + k] : w[k * columns + column];
        sum += (rounded[row * shared + k] ?? 0) * (entry ?? 0);
      }
      return sum;
    });
  }

  test.skipIf(!hasExactProducts).each([
    ["Gemm with a transposed weight", "[5, 6]", "{transB=1}", true, 1],
    ["Gemm that scales its bias", "[6, 5]", "{beta=0.5}", false, 0.5],
  ])(
    "%s: equal the product of quantized input and quantized weight",
    async (_, dims, attributes, transposed, factor) => {
      const model = parseModel(`opset 17
graph (x: float32[batch, 6]) -> (y: float32[batch, 5]) {
  fc.weight: float32${dims} = random(seed 1)
  fc.bias: float32[5] = random(seed 2)
  y = Gemm(x, fc.weight, fc.bias) ${attributes}
}`);
      const [weight, bias] = [await stored(model, "fc.weight"), await stored(model, "fc.bias")];
      const x = numbersFor([3, 6]);
      await quantize(model, { scheme: "dynamic", bits: 8 });
      expect(difference(product(x, weight, transposed, bias, factor), await run(model, { x }))).toBeLessThan(1e-6);
    },
  );

  const scaledTwice = (second: string, settings = ", transB=1"): Model =>
    parseModel(`opset 17
graph (x: float32[batch, 6]) -> (y: float32[batch, 6], z: float32[batch, 6]) {
  a.weight: float32[6, 6] = random(seed 1)
  b.weight: float32[6, 6] = random(seed 3)
  a.bias: float32[6] = random(seed 2)
  y = Gemm(x, a.weight, a.bias) {alpha=0.25, beta=2.0}
  z = Gemm(x, ${second}) {alpha=-3.0${settings}}
}`);

  test.each(["dynamic", "static"] as const)("%s: are right for a Gemm that scales its product", async (scheme) => {
    const model = scaledTwice("b.weight");
    const x = numbersFor([3, 6]);
    const expected = await run(model, { x });
    const data = scheme === "static" ? { data: memory("x", { x }) } : {};
    const { changes, misses } = await quantize(model, { scheme, ...data });
    expect([changes.map(({ at }) => at), misses]).toEqual([["a", "b"], []]);
    assertValid(model);
    expect(difference(expected, await run(model, { x }))).toBeLessThan(0.03);
  });

  test.each([
    { scheme: "weights", bits: 8, block: 16 },
    { scheme: "weights", bits: 8 },
    { scheme: "dynamic" },
    { scheme: "static" },
  ] as const)("%o: are stored once if two layers scale the same weight differently", async (options) => {
    const model = scaledTwice("a.weight", "");
    const x = numbersFor([3, 6]);
    const expected = await run(model, { x });
    const data = options.scheme === "static" ? { data: memory("x", { x }) } : {};
    const { changes, misses } = await quantize(model, { ...options, ...data });
    expect([changes.length, misses]).toEqual([2, []]);
    assertValid(model);
    const matrices = [...model.graph.values()].filter(({ tensor }) => (tensor?.bytes ?? 0) >= 36);
    expect(matrices).toHaveLength(1);
    expect(difference(expected, await run(model, { x }))).toBeLessThan(0.03);
  });

  test("are close to float for consecutive layers", async () => {
    const text = `opset 17
graph (x: float32[batch, 6]) -> (z: float32[batch, 5]) {
  a.weight: float32[6, 6] = random(seed 1)
  b.weight: float32[6, 5] = random(seed 2)
  y = MatMul(x, a.weight)
  z = MatMul(y, b.weight)
}`;
    const model = parseModel(text);
    const x = numbersFor([3, 6]);
    await quantize(model, { scheme: "dynamic" });
    assertValid(model);
    expect(difference(await run(parseModel(text), { x }), await run(model, { x }))).toBeLessThan(0.03);
  });
});

test("stores weights of convolutions in uint8 by default, because int8 is slow", async () => {
  const model = cnn();
  await quantize(model, { scheme: "dynamic" });
  expect(await stored(model, "conv1.weight_quantized")).toMatchObject({ type: "uint8" });
  expect(toNumbers(await stored(model, "conv1.weight_zero_point"))).toEqual([128]);
  expect((await stored(model, "conv1.weight_scale")).dims).toEqual([6, 1, 1]);
  expect(await stored(model, "fc.weight_quantized")).toMatchObject({ type: "int8" });
});

test("quantizes an activation that several layers read once", async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 4]) -> (q: float32[batch, 4], k: float32[batch, 4], v: float32[batch, 4]) {
  q.weight: float32[4, 4] = random(seed 1)
  k.weight: float32[4, 4] = random(seed 2)
  v.weight: float32[4, 4] = random(seed 3)
  q = MatMul(x, q.weight)
  k = MatMul(x, k.weight)
  v = MatMul(x, v.weight)
}`);
  await quantize(model, { scheme: "dynamic" });
  assertValid(model);
  expect(operators(model).filter((op) => op === "DynamicQuantizeLinear")).toHaveLength(1);
  expect(model.graph.outputs.map(({ name }) => name)).toEqual(["q", "k", "v"]);
});

test("keeps the names of layers, whether or not the weight's name has a stem", async () => {
  const text = `opset 17
graph (x: float32[batch, 4]) -> (y: float32[batch, 4]) {
  fc1.weight: float32[4, 4] = random(seed 1)
  onnx_123: float32[4, 4] = random(seed 2)
  other_7: float32[4, 4] = random(seed 2)
  h = MatMul "n1" (x, fc1.weight)
  g = MatMul "attention" (h, onnx_123)
  y = MatMul(g, other_7)
}`;
  const model = parseModel(text);
  expect(layerNames(model)).toEqual(["fc1", "attention", "y"]);
  await quantize(model, { scheme: "dynamic" });
  expect(layerNames(model)).toEqual(["fc1", "attention", "y"]);
});

test("folds batch normalization into the convolution first", async () => {
  const text = `opset 17
graph (x: float32[batch, 3, 6, 6]) -> (y: float32[batch, 4, 4, 4]) {
  conv.weight: float32[4, 3, 3, 3] parameter = random(seed 1)
  scale: float32[4] parameter = random(seed 2, from 0.5 to 2)
  shift: float32[4] parameter = random(seed 3)
  mean: float32[4] state = random(seed 4)
  variance: float32[4] state = random(seed 5, from 0.5 to 2)
  h = Conv(x, conv.weight)
  y = BatchNormalization(h, scale, shift, mean, variance)
}`;
  const model = parseModel(text);
  await quantize(model, { scheme: "dynamic" });
  assertValid(model);
  expect(operators(model)).toEqual(["DynamicQuantizeLinear", "ConvInteger", "Mul", "Cast", "Mul", "Add"]);
  const x = numbersFor([2, 3, 6, 6]);
  expect(difference(await run(parseModel(text), { x }), await run(model, { x }))).toBeLessThan(0.02);
});

test.each([
  ["a weight as left operand", "w: float32[4, 4] = random(seed 1)\n  y = MatMul(w, x)", "left operand"],
  [
    "a bias that is computed",
    "w: float32[4, 4] = random(seed 1)\n  b = Neg(x)\n  y = Gemm(x, w, b)",
    "input 2 is computed",
  ],
])("keeps a layer with %s in float, with the reason", async (_, lines, reason) => {
  const model = parseModel(`opset 17\ngraph (x: float32[4, 4]) -> (y: float32[4, 4]) {\n  ${lines}\n}`);
  const { changes, misses } = await quantize(model, { scheme: "dynamic" });
  expect(changes).toEqual([]);
  expect(misses.map((miss) => miss.reason).join()).toContain(reason);
});
