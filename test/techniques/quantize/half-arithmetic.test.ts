/** Arithmetic in float16: inputs and outputs keep their types, all types agree, and values beyond float16 stay in float32. */

import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import { allNodes } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { toFloat64 } from "../../../src/core/tensor/convert.ts";
import { float32, int64 } from "../../../src/core/tensor/dense.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { decoderOf } from "../../../src/runtime/run/decoding.ts";
import { feedsFor } from "../../../src/runtime/run/runner.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { topologies } from "../../zoo/topologies.ts";
import { cnn, mlp, numbersFor, run } from "./networks.ts";

const half = { dtype: "fp16" } as const;

const typeOf = (model: Model, name: string): string | undefined => model.graph.value(name)?.type?.type;

/** Quantizes the model, and expects unchanged types of inputs and outputs, except the cache of a decoder, and similar output values. */
async function expectNear(model: Model, feeds: Batch, decibels = 50, options: Partial<QuantizeOptions> = {}) {
  const original = model.clone();
  // Inference names the sizes that follow from other named sizes.
  infer(original);
  const outcome = await quantize(model, { ...half, ...options });
  assertValid(model);
  const caches = new Set(decoderOf(original)?.caches.flatMap(({ input, output }) => [input, output]));
  const types = ({ graph }: Model) =>
    [...graph.feeds, ...graph.outputs].map(({ name, type }) => [
      name,
      caches.has(name) ? { ...type, type: "float16" } : type,
    ]);
  expect(types(model)).toEqual(types(original));
  const [before, after] = [await run(original, feeds), await run(model, feedsFor(model, feeds))];
  let [signal, noise] = [0, 0];
  before.forEach((number, at) => {
    if (number === after[at]) return;
    signal += number * number;
    noise += (number - (after[at] ?? Number.NaN)) ** 2;
  });
  if (noise !== 0) expect(10 * Math.log10(signal / noise)).toBeGreaterThan(decibels);
  return outcome;
}

describe("arithmetic in float16", () => {
  test("casts inputs and outputs once", async () => {
    for (const [model, dims] of [
      [mlp(), [3, 12]],
      [cnn(), [2, 3, 8, 8]],
    ] as const) {
      const { misses } = await expectNear(model, { x: numbersFor(dims) });
      expect(misses).toEqual([]);
      const ops = [...model.graph.nodes()].map(({ op }) => op);
      expect(ops.filter((op) => op === "Cast")).toHaveLength(2);
      expect([ops[0], ops.at(-1)]).toEqual(["Cast", "Cast"]);
      for (const { tensor } of model.graph.values()) expect(tensor?.type ?? "float16").toBe("float16");
    }
  });

  test.each(topologies.map(({ name }) => name))("loads in %s, with similar outputs", async (name) => {
    const topology = topologies.find((one) => one.name === name);
    if (topology === undefined) throw new Error(name);
    const model = parseModel(topology.text);
    const feeds = Object.fromEntries(
      Object.entries(topology.inputs).map(([name, dims]) => [
        name,
        topology.integers?.[name] === undefined
          ? numbersFor(dims)
          : int64(dims, new Array<number>(elementCount(dims)).fill(topology.integers[name][0])),
      ]),
    );
    await expectNear(model, feeds, 35);
  });

  test.each(["", " {value=float32[1] [0]}"])(
    "computes a fill, and the layer that reads it, in float16:%s",
    async (value) => {
      const model = parseModel(`opset 17
graph (x: float32[t, b, 8]) -> (y: float32[t, 1, b, 16]) {
  lstm.weight: float32[1, 64, 8] = random(seed 1, from -0.1 to 0.1)
  lstm.recurrent: float32[1, 64, 16] = random(seed 2, from -0.1 to 0.1)
  one: int64[1] = [1]
  two: int64[1] = [2]
  width: int64[1] = [16]
  s = Shape(x)
  batch = Slice(s, one, two)
  shape = Concat(one, batch, width) {axis=0}
  zero = ConstantOfShape(shape)${value}
  y = LSTM "lstm" (x, lstm.weight, lstm.recurrent, _, _, zero, zero) {hidden_size=16}
}`);
      const { misses } = await expectNear(model, { x: numbersFor([3, 2, 8]) });
      expect(misses).toEqual([]);
      expect(typeOf(model, "lstm.weight")).toBe("float16");
    },
  );

  test("leaves normalizations in float32 whose squares and epsilon float16 cannot hold", async () => {
    const model = parseModel(`opset 13
graph (x: float32[n, 16]) -> (y: float32[n, 4]) {
  two: float32[] = 2
  epsilon: float32[] = 1e-12
  w: float32[16, 16] = random(seed 1)
  v: float32[16, 4] = random(seed 2)
  h = MatMul "in" (x, w)
  mean = ReduceMean(h) {axes=[-1]}
  d = Sub(h, mean)
  s = Pow(d, two)
  var = ReduceMean "variance" (s) {axes=[-1]}
  e = Add(var, epsilon)
  r = Sqrt(e)
  z = Div(d, r)
  y = MatMul "out" (z, v)
}`);
    const x = numbersFor([3, 16]);
    const { misses } = await expectNear(model, {
      x: float32(
        x.dims,
        x.data.map((value) => 1000 * value),
      ),
    });
    expect([typeOf(model, "s"), typeOf(model, "var"), typeOf(model, "e"), typeOf(model, "z")]).toEqual([
      "float32",
      "float32",
      "float32",
      "float16",
    ]);
    expect(misses.map(({ at }) => at)).toContain('ReduceMean "variance"');
  });

  test("keeps attention masks finite, also two of them", async () => {
    const model = parseModel(`opset 13
graph (x: float32[n, 4, 4], mask: int64[n, 4]) -> (y: float32[n, 4, 4]) {
  one: float32[] = 1
  lowest: float32[] = -3.4028234663852886e38
  axes: int64[1] = [1]
  w: float32[4, 4] = random(seed 1)
  q = MatMul "q" (x, w)
  kept = Cast(mask) {to=1}
  gone = Sub(one, kept)
  far = Mul(gone, lowest)
  row = Unsqueeze(far, axes)
  s = Add(q, row)
  t = Add(s, row)
  p = Softmax(t) {axis=-1}
  y = MatMul(p, q)
}`);
    const mask = int64([2, 4], [1, 1, 0, 0, 1, 0, 0, 0]);
    const { changes } = await expectNear(model, { x: numbersFor([2, 4, 4]), mask });
    expect(typeOf(model, "p")).toBe("float16");
    expect(changes.filter(({ at }) => at === "lowest").map(({ what }) => what)).toEqual([
      "its -3.40e+38 stands for infinity and becomes -32752: float16 ends at 65,504",
    ]);
  });

  describe("masked scores", () => {
    const attention = (scores: string) =>
      parseModel(`opset 17
graph (x: float32[n, 4, 16], mask: int64[n, 4]) -> (y: float32[n, 4, 8]) {
  one: float32[] = 1
  lowest: float32[] = -1e30
  endless: float32[] = -inf
  axes: int64[1] = [1]
  causal: float32[1, 4, 4] = [[[0, -1e30, -1e30, -1e30], [0, 0, -1e30, -1e30], [0, 0, 0, -1e30], [0, 0, 0, 0]]]
  w: float32[16, 16] = random(seed 1)
  v: float32[16, 8] = random(seed 2)
  q = MatMul(x, w)
  k = Transpose(x) {perm=[0, 2, 1]}
  s = MatMul(q, k)
  flags = Unsqueeze(mask, axes)
  kept = Cast(flags) {to=1}
  gone = Sub(one, kept)
  far = Mul(gone, lowest)
${scores}
  p = Softmax(t) {axis=-1}
  o = MatMul(p, x)
  y = MatMul(o, v)
}`);
    const feeds = { x: numbersFor([2, 4, 16]), mask: int64([2, 4], [0, 0, 1, 1, 1, 1, 1, 1]) };
    const limits = (model: Model) => [...model.graph.nodes()].filter(({ op }) => op === "Clip").length;

    test.each([
      ["one sum with both masks", "  both = Add(far, causal)\n  m = Max(both, lowest)\n  t = Add(s, m)", 'Add "t"'],
      ["a sum for each mask", "  a = Add(s, far)\n  b = Add(a, causal)\n  t = Max(b, lowest)", 'Max "t"'],
    ])("are equal in a row that attends to nothing: %s", async (_, scores, at) => {
      const model = attention(scores);
      const { changes } = await expectNear(model, feeds);
      expect(limits(model)).toBe(1);
      expect(changes.map(({ at, what }) => `${at}: ${what}`)).toContain(
        `${at}: masked scores become -16376, all equal as in float32`,
      );
    });

    test.each([
      ["are selected", "  c = Cast(flags) {to=9}\n  t = Where(c, s, lowest)"],
      ["are infinite", "  c = Cast(flags) {to=9}\n  m = Where(c, one, endless)\n  t = Add(s, m)"],
      ["have no mask", "  t = Add(s, causal_bias)\n  causal_bias: float32[1, 4, 4] = random(seed 3)"],
    ])("are not limited if they %s", async (_, scores) => {
      const model = attention(scores);
      await quantize(model, half);
      expect(limits(model)).toBe(0);
    });
  });

  test("excludes operator types, with or without weights", async () => {
    for (const [type, most] of [
      ["Relu", 4],
      ["Conv", 6],
    ] as const) {
      const model = cnn();
      await expectNear(model, { x: numbersFor([2, 3, 8, 8]) }, 50, { except: type });
      const kept = [...model.graph.nodes()].filter(({ op }) => op === type);
      expect(kept.map(({ outputs: [output] }) => output?.type?.type)).not.toContain("float16");
      expect([...model.graph.nodes()].filter(({ op }) => op === "Cast").length).toBeGreaterThanOrEqual(most);
    }
    await expect(quantize(cnn(), { ...half, except: "Softmax" })).rejects.toMatchObject({ code: "E_NAME" });
  });

  test("casts values of the outer graph that branches read, and keeps the outputs of branches", async () => {
    const model = parseModel(`opset 17
graph (x: float32[n, 4], flag: bool[]) -> (y: float32[n, 4]) {
  w: float32[4, 4] = random(seed 1)
  h = MatMul(x, w)
  z = If "branch" (flag) {then_branch=graph () -> (a) {
    v: float32[4, 4] = random(seed 2)
    a = MatMul(h, v)
  }, else_branch=graph () -> (b) { b = Identity(h) }}
  y = Add(z, h)
}`);
    for (const flag of [true, false]) {
      const copy = model.clone();
      await expectNear(copy, { x: numbersFor([3, 4]), flag: { type: "bool", dims: [], data: Uint8Array.of(+flag) } });
      const types = [...allNodes(copy.graph)].filter(({ op }) => op === "MatMul");
      expect(types.map(({ outputs: [output] }) => output?.type?.type)).toEqual(["float16", "float16"]);
    }
  });

  test("computes a layer in float16 if integers only select its inputs", async () => {
    const model = parseModel(`opset 17
graph (x: float32[n, 16]) -> (y) {
  w1: float32[16, 32] = random(seed 1)
  w2: float32[32, 32] = random(seed 2)
  w3: float32[32, 8] = random(seed 3)
  zero: int64[] = [0]
  one: int64[] = [1]
  axis: int64[1] = [0]
  size: int64[1] = [8]
  h = MatMul "fc1" (x, w1)
  a = Relu(h)
  shape = Shape(a)
  rows = Gather(shape, zero)
  single = Equal(rows, one)
  q = If (single) {then_branch=graph () -> (t) { t = Squeeze(a, axis) }, else_branch=graph () -> (e) { e = Identity(a) }}
  m = MatMul "fc2" (q, w2)
  largest, places = TopK "top" (m, size) {axis=-1}
  v: float32[8, 8] = random(seed 4)
  y = MatMul "fc3" (largest, v)
}`);
    const { changes, misses } = await expectNear(model, { x: numbersFor([3, 16]) }, 50, { except: "TopK" });
    expect(misses).toEqual([]);
    expect(changes.map(({ at, what }) => `${at}: ${what}`)).toEqual([
      "fc1: computes in float16",
      "fc2: computes in float16",
      "fc3: computes in float16",
      'Relu "a": computes in float16, as 2 more operators without weights do',
    ]);
  });

  test("keeps a product in float32 if a branch outputs a dequantized weight", async () => {
    const model = parseModel(`opset 17
graph (x: float32[n, 16], flag: bool[]) -> (y) {
  w: float32[16, 16] = random(seed 1)
  codes: int8[16, 16] = random(seed 2, from -9 to 9)
  scale: float32[] = 0.01
  h = MatMul(x, w)
  c = If (flag) {then_branch=graph () -> (t) { t = DequantizeLinear(codes, scale) }, else_branch=graph () -> (e) { e = Identity(w) }}
  m = MatMul(h, c)
  y = MatMul(m, w)
}`);
    await quantize(model, half);
    expect(["h", "m"].map((name) => typeOf(model, name))).toEqual(["float16", "float32"]);
  });

  test("keeps values beyond float16 and excluded layers in float32", async () => {
    const model = parseModel(`opset 17
graph (x: float32[n, 2]) -> (y: float32[n, 2]) {
  big.weight: float32[2, 2] = [[1, 2], [3, 70000]]
  small.weight: float32[2, 2] = [[1e-9, 2e-9], [3e-9, 4e-9]]
  left.weight: float32[2, 2] = [[1, 2], [3, 4]]
  fc.weight: float32[2, 2] = [[1, 2], [3, 4]]
  a = MatMul(x, big.weight)
  b = MatMul(a, small.weight)
  c = MatMul(b, left.weight)
  d = MatMul(c, fc.weight)
  y = Relu(d)
}`);
    const { changes, misses } = await expectNear(model, { x: float32([1, 2], [1, 2]) }, 50, { except: "left" });
    expect(misses).toMatchObject([
      { at: "big", reason: '"big.weight" contains 7.00e+4; the largest float16 is 65,504' },
      { at: "small", reason: expect.stringContaining("float16 would lose 100 % of it") },
    ]);
    expect(changes[0]).toMatchObject({ at: "fc", what: "computes in float16" });
    expect([typeOf(model, "left.weight"), typeOf(model, "fc.weight")]).toEqual(["float32", "float16"]);
  });

  test("leaves a batch normalization in float32 that shifts by more than float16 can hold", async () => {
    const model = parseModel(`opset 17
graph (x: float32[n, 2, 4, 4]) -> (y: float32[n, 32, 4, 4]) {
  first.weight: float32[2, 2, 1, 1] = random(seed 1)
  last.weight: float32[32, 2, 1, 1] = random(seed 2)
  scale: float32[2] = [1, 1]
  bias: float32[2] = [0, 1]
  mean: float32[2] = [0.5, 437]
  variance: float32[2] = [1, 0]
  h = Conv(x, first.weight)
  a = Relu(h)
  n = BatchNormalization(a, scale, bias, mean, variance) {epsilon=0.00001}
  t = Tanh(n)
  y = Conv(t, last.weight)
}`);
    const { misses } = await expectNear(model, { x: numbersFor([3, 2, 4, 4]) });
    const reason = '"n" is scaled or shifted by -1.38e+5; the largest float16 is 65,504';
    expect(misses).toMatchObject([
      { at: 'BatchNormalization "n"', reason },
      { at: 'Tanh "t"', reason },
    ]);
    expect(["h", "n", "t", "last.weight"].map((name) => typeOf(model, name))).toEqual([
      "float16",
      "float32",
      "float32",
      "float16",
    ]);
  });

  test("converts scales of 4-bit blocks to float16, but not integer arithmetic and dequantized weights", async () => {
    const text = `opset 17
graph (x: float32[n, 64]) -> (y: float32[n, 32]) {
  fc1.weight: float32[64, 64] = random(seed 1)
  fc2.weight: float32[64, 32] = random(seed 2)
  h = MatMul(x, fc1.weight)
  a = Relu(h)
  y = MatMul(a, fc2.weight)
}`;
    const blocks = parseModel(text);
    await quantize(blocks, { scheme: "weights", bits: 4 });
    await expectNear(blocks, { x: numbersFor([3, 64]) }, 35);
    const stored = [...blocks.graph.values()].flatMap(({ tensor }) => tensor?.type ?? []);
    expect(new Set(stored)).toEqual(new Set(["uint8", "float16"]));
    const integers = parseModel(text);
    await quantize(integers, { scheme: "dynamic" });
    const { changes } = await expectNear(integers, { x: numbersFor([3, 64]) });
    expect(changes).toEqual([]);
    const weights = parseModel(text);
    await quantize(weights, { scheme: "weights" });
    const { misses } = await expectNear(weights, { x: numbersFor([3, 64]) }, 35);
    expect(misses.map(({ at, reason }) => [at, reason])).toContainEqual([
      "fc1",
      "it reads values represented by integers",
    ]);
  });

  test("keeps a layer with few elements between float32 layers in float32, with the reason", async () => {
    const model = parseModel(`opset 18 graph (x: float32[n, 48]) -> (y: float32[n, 1]) {
      w: float32[48, 1] = random(seed 1)
      y = MatMul (x, w)
    }`);
    const { changes, misses } = await quantize(model, half);
    expect(changes).toEqual([]);
    expect(misses).toMatchObject([{ reason: expect.stringMatching(/fewer than 64 elements/), at: "y" }]);
  });

  test("does not cast inputs whose operator requires float32", async () => {
    const model = parseModel(`opset 13
graph (x: float32[1, 3, 4, 4]) -> (y: float32[1, 3, 8, 8]) {
  w: float32[3, 3, 1, 1] = random(seed 1)
  scales: float32[4] = [1, 1, 2, 2]
  h = Conv(x, w)
  y = Resize(h, _, scales) {mode="nearest"}
}`);
    await expectNear(model, { x: numbersFor([1, 3, 4, 4]) });
    expect([typeOf(model, "scales"), typeOf(model, "w")]).toEqual(["float32", "float16"]);
  });

  test("keeps a transposition in float32 that would crash ONNX Runtime", async () => {
    const model = parseModel(`opset 13
graph (x: float32[n, 5, 8]) -> (y: float32[5, n, 3]) {
  v: float32[8, 8] = random(seed 1)
  w: float32[8, 3] = random(seed 2)
  h = MatMul(x, v)
  t = Transpose(h) {perm=[1, 0, 2]}
  y = MatMul(t, w)
}`);
    const { misses } = await expectNear(model, { x: numbersFor([2, 5, 8]) });
    expect(misses).toMatchObject([
      { at: 'Transpose "t"', reason: expect.stringContaining("crashes") },
      { at: "y", reason: expect.stringContaining("fewer than 64 elements") },
    ]);
  });

  test("has the same outputs in WebAssembly", async () => {
    const model = cnn();
    const x = numbersFor([2, 3, 8, 8]);
    const expected = await run(model, { x });
    await quantize(model, half);
    const session = await createEngine({ runtime: "wasm" }).load(await open(await encodeToBytes(model)), {
      threads: 1,
    });
    const { y } = await session.run({ x });
    await session.release();
    expect(y?.type).toBe("float32");
    for (const [at, number] of toFloat64(y ?? x).entries()) expect(number).toBeCloseTo(expected[at] ?? Number.NaN, 1);
  });

  test("changes nothing in a network without floats", async () => {
    const integers = parseModel(`opset 17
graph (x: int64[n]) -> (y: int64[n]) { y = Add(x, x) }`);
    expect(await quantize(integers, half)).toMatchObject({ changes: [] });
  });
});

test("keeps batch statistics in float32, which ONNX Runtime carries between runs in float16", async () => {
  const model = parseModel(`opset 9
graph (x: float32[4, 2, 3]) -> (y: float32[4, 2, 3], m: float32[2]) {
  scale: float32[2] = random(seed 1, from 0.5 to 1.5)
  bias: float32[2] = random(seed 2)
  mean: float32[2] = random(seed 3)
  variance: float32[2] = random(seed 4, from 0.5 to 1.5)
  w: float32[3, 3] = random(seed 5)
  h: float32[4, 2, 3] = MatMul(x, w)
  y: float32[4, 2, 3], m, v, own, inverse = BatchNormalization(h, scale, bias, mean, variance)
}`);
  await quantize(model, { dtype: "fp16" });
  const session = await createEngine().load(model);
  const x = float32(
    [4, 2, 3],
    Array.from({ length: 24 }, (_, at) => at / 24),
  );
  const first = await session.run({ x });
  expect(await session.run({ x })).toEqual(first);
  await session.release();
});
