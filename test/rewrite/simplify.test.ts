/** Tests that simplified networks compute the original outputs: all topologies, and cases that each clean-up must change or keep. */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { allGraphs } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { structureHash } from "../../src/core/graph/structure-hash.ts";
import { parseModel, printModel } from "../../src/core/graph/text.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { open } from "../../src/core/onnx/index.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { fromNumbers, toNumbers } from "../../src/core/tensor/convert.ts";
import { dimText, elementCount } from "../../src/core/tensor/dims.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { checkEquivalence } from "../../src/judge/compare/equivalence.ts";
import { crossEntropy } from "../../src/learn/train/losses/cross-entropy.ts";
import { sgd } from "../../src/learn/train/optimizers.ts";
import { createStep } from "../../src/learn/train/step.ts";
import { finalize } from "../../src/rewrite/clean-up/finalize.ts";
import { simplify } from "../../src/rewrite/clean-up/simplify.ts";
import { largestDifference } from "../../src/runtime/run/difference.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { topologies } from "../zoo/topologies.ts";

const engine = createEngine();

const operators = (model: Model): string[] =>
  [...allGraphs(model.graph)].flatMap((graph) => [...graph.nodes()].map(({ op }) => op));

async function differs(
  original: Model,
  model: Model,
  sizes: Readonly<Record<string, number>> = {},
): Promise<number | string> {
  const comparison = await checkEquivalence(engine, original, model, {
    sizes: new Map(Object.entries(sizes)),
    set: {},
    seed: 1,
    signal: new AbortController().signal,
    progress: () => {},
  });
  return typeof comparison === "string" ? comparison : comparison.difference;
}

/** Returns the simplified graph, and checks that it computes the original outputs. */
async function simplified(text: string, options: Parameters<typeof simplify>[1] = {}): Promise<Model> {
  const model = parseModel(`opset 21\n${text}`);
  const original = model.clone();
  await simplify(model, options, { engine });
  expect(verify(model)).toEqual([]);
  if (options.set === undefined) expect(await differs(original, model, options.fix)).toBeLessThan(1e-5);
  return model;
}

describe("simplify on every topology", () => {
  test.each(topologies.map((topology) => [topology.name, topology] as const))(
    "keeps the outputs of %s with no more nodes",
    async (_, { text, inputs, integers = {} }) => {
      const model = parseModel(text);
      const feeds: Batch = Object.fromEntries(
        Object.entries(inputs).map(([name, dims]) => {
          const numbers = random(3, name);
          const [from, to] = integers[name] ?? [0, 0];
          const draw = (): number => (to > from ? from + numbers.integer(to - from) : numbers.normal());
          const type = model.graph.value(name)?.type?.type as "float32";
          return [name, fromNumbers(type, dims, Array.from({ length: elementCount(dims) }, draw))];
        }),
      );
      const run = async (): Promise<Batch> => {
        const session = await engine.load(model, { threads: 1 });
        try {
          return await session.run(feeds);
        } finally {
          await session.release();
        }
      };
      const before = operators(model).length;
      const expected = await run();
      await simplify(model, {}, { engine });
      expect(verify(model)).toEqual([]);
      expect(operators(model).length).toBeLessThanOrEqual(before);
      const got = await run();
      expect(Object.keys(got)).toEqual(Object.keys(expected));
      for (const [name, dense] of Object.entries(expected))
        expect(largestDifference(dense, got[name])).toBeLessThan(1e-5);
      // A second run changes nothing.
      expect((await simplify(model, {}, { engine })).changes).toEqual([]);
    },
  );
});

describe("simplify on a model with an empty batch", () => {
  const empty = async (model: Model): Promise<readonly (readonly number[])[]> => {
    const session = await engine.load(model, { threads: 1 });
    try {
      return Object.values(await session.run({ x: fromNumbers("float32", [0, 3, 4], []) })).map(({ dims }) => dims);
    } finally {
      await session.release();
    }
  };

  test.each([
    [
      "a shape of two open dimensions",
      `graph (x: float32[batch, m, 4]) -> (y: float32[batch, k]) {
  shape = Shape(x)
  zero: int64[1] = [0]
  one: int64[1] = [1]
  four: int64[1] = [4]
  n = Gather(shape, zero)
  m = Gather(shape, one)
  rest = Mul(m, four)
  target = Concat(n, rest) {axis=0}
  y = Reshape(x, target)
}`,
    ],
    [
      "two reshapes",
      `graph (x: float32[batch, m, 4]) -> (y: float32[batch, k]) {
  axis: int64[1] = [1]
  a = Unsqueeze(x, axis)
  y = Flatten(a)
}`,
    ],
  ])("keeps the output sizes of %s", async (_, text) => {
    const model = parseModel(`opset 21\n${text}`);
    const before = await empty(model);
    await simplify(model, {}, { engine });
    expect(await empty(model)).toEqual(before);
  });
});

describe("simplify", () => {
  test.each([
    [
      "removes consecutive identities and keeps the output name",
      `graph (x: float32[batch, 3]) -> (y: float32[batch, 3]) {
  a = Identity(x)
  b = Cast(a) {to=1}
  c = Relu(b)
  d = Transpose(c) {perm=[0, 1]}
  y = Identity(d)
}`,
      ["Relu"],
    ],
    [
      "keeps nodes that differ by an infinite attribute apart, and merges equal ones with NaN",
      `graph (x: float32[4]) -> (y: float32[4]) {
  a = LeakyRelu(x) {alpha=inf}
  b = LeakyRelu(x) {alpha=-inf}
  c = LeakyRelu(x) {alpha=nan}
  d = LeakyRelu(x) {alpha=nan}
  y = Max(a, b, c, d)
}`,
      ["LeakyRelu", "LeakyRelu", "LeakyRelu", "Max"],
    ],
    [
      "merges an Unsqueeze that restores a reduced axis, but no other Unsqueeze",
      `graph (x: float32[batch, 3]) -> (y: float32[batch, 1], z: float32[batch, 1, 1]) {
  axis: int64[1] = [1]
  both: int64[2] = [1, 2]
  a = ReduceMax(x, axis) {keepdims=0}
  y = Unsqueeze(a, axis)
  b = ReduceMin(x, axis) {keepdims=0}
  z = Unsqueeze(b, both)
}`,
      ["ReduceMax", "ReduceMin", "Unsqueeze"],
    ],
    [
      "keeps a copy of an input to an output",
      `graph (x: float32[batch, 3]) -> (y: float32[batch, 3]) {
  y = Identity(x)
}`,
      ["Identity"],
    ],
    [
      "keeps a sum with zeros that broadcasts",
      `graph (x: float32[1, 3]) -> (y: float32[4, 3]) {
  zeros: float32[4, 3] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
  y = Add(x, zeros)
}`,
      ["Add"],
    ],
    [
      "removes shape arithmetic for one unknown dimension",
      `graph (x: float32[batch, 3, 4]) -> (y: float32[batch, 12]) {
  shape = Shape(x)
  first: int64[] = 0
  n = Gather(shape, first)
  axes: int64[1] = [0]
  one = Unsqueeze(n, axes)
  rest: int64[1] = [12]
  target = Concat(one, rest) {axis=0}
  y = Reshape(x, target)
}`,
      ["Reshape"],
    ],
    [
      "removes two transpositions that cancel",
      `graph (x: float32[batch, 3, 4]) -> (y: float32[batch, 3, 4]) {
  a = Transpose(x) {perm=[0, 2, 1]}
  b = Transpose(a) {perm=[0, 2, 1]}
  y = Relu(b)
}`,
      ["Relu"],
    ],
    [
      "keeps only the last of several reshapes",
      `graph (x: float32[2, 3, 4]) -> (y: float32[2, 12]) {
  a = Flatten(x) {axis=0}
  shape: int64[3] = [4, 3, 2]
  b = Reshape(a, shape)
  c = Flatten(b) {axis=2}
  last: int64[2] = [2, 12]
  y = Reshape(c, last)
}`,
      ["Reshape"],
    ],
    [
      "merges equal nodes, except for outputs",
      `graph (x: float32[batch, 3]) -> (y: float32[batch, 3], z: float32[batch, 3]) {
  a = Exp(x)
  b = Exp(x)
  y = Add(a, b)
  z = Add(a, a)
}`,
      ["Exp", "Add", "Add"],
    ],
    [
      "folds a bias, a scale and a normalization into the convolution before them",
      `graph (x: float32[batch, 2, 4, 4]) -> (y: float32[batch, 3, 4, 4]) {
  w: float32[3, 2, 1, 1] = random(seed 1)
  bias: float32[3, 1, 1] = random(seed 2)
  factor: float32[] = 3
  scale: float32[3] = random(seed 3)
  shift: float32[3] = random(seed 4)
  mean: float32[3] = random(seed 5)
  variance: float32[3] = random(seed 6, from 0.5 to 2)
  a = Conv(x, w)
  b = Add(bias, a)
  c = Mul(b, factor)
  y = BatchNormalization(c, scale, shift, mean, variance)
}`,
      ["Conv"],
    ],
    [
      "keeps an addend that is not a bias",
      `graph (x: float32[1, 2, 4, 4]) -> (y: float32[1, 3, 4, 4]) {
  w: float32[3, 2, 1, 1] = random(seed 1)
  map: float32[4, 4] = random(seed 2)
  a = Conv(x, w)
  y = Add(a, map)
}`,
      ["Conv", "Add"],
    ],
    [
      "keeps the bias separate if another output reads the product",
      `graph (x: float32[batch, 2, 4, 4]) -> (y: float32[batch, 3, 4, 4], a: float32[batch, 3, 4, 4]) {
  w: float32[3, 2, 1, 1] = random(seed 1)
  bias: float32[3, 1, 1] = random(seed 2)
  a = Conv(x, w)
  y = Add(bias, a)
}`,
      ["Conv", "Add"],
    ],
    [
      "moves padding into the convolution",
      `graph (x: float32[batch, 1, 4, 4]) -> (y: float32[batch, 1, 4, 4]) {
  w: float32[1, 1, 3, 3] = random(seed 1)
  pads: int64[8] = [0, 0, 1, 1, 0, 0, 1, 1]
  a = Pad(x, pads)
  y = Conv(a, w)
}`,
      ["Conv"],
    ],
    [
      "moves padding by -∞ into the pool if the data cannot be -∞",
      `graph (x: float32[batch, 1, 4, 4]) -> (y: float32[batch, 1, 5, 5], z: float32[batch, 1, 5, 5]) {
  pads: int64[8] = [0, 0, 1, 1, 0, 0, 1, 1]
  filler: float32[] = -inf
  a = Relu(x)
  b = Pad(a, pads, filler)
  y = MaxPool(b) {kernel_shape=[2, 2]}
  c = Pad(x, pads, filler)
  z = MaxPool(c) {kernel_shape=[2, 2]}
}`,
      ["Relu", "MaxPool", "Pad", "MaxPool"],
    ],
    [
      "keeps padding around a pool that outputs positions",
      `graph (x: float32[1, 1, 3, 3]) -> (y: float32[1, 1, 2, 2], i: int64[1, 1, 2, 2]) {
  pads: int64[8] = [0, 0, 1, 1, 0, 0, 0, 0]
  filler: float32[] = -inf
  a = Relu(x)
  b = Pad(a, pads, filler)
  y, i = MaxPool(b) {kernel_shape=[2, 2], strides=[2, 2]}
}`,
      ["Relu", "Pad", "MaxPool"],
    ],
    [
      "keeps padding by ones",
      `graph (x: float32[batch, 1, 4, 4]) -> (y: float32[batch, 1, 4, 4]) {
  w: float32[1, 1, 3, 3] = random(seed 1)
  pads: int64[8] = [0, 0, 1, 1, 0, 0, 1, 1]
  one: float32[] = 1
  a = Pad(x, pads, one)
  y = Conv(a, w)
}`,
      ["Pad", "Conv"],
    ],
    [
      "keeps a mean of rounded means of integers",
      `graph (x: int32[2, 3]) -> (y: int32[]) {
  last: int64[1] = [1]
  first: int64[1] = [0]
  a = ReduceMean(x, last) {keepdims=0}
  y = ReduceMean(a, first) {keepdims=0}
}`,
      ["ReduceMean", "ReduceMean"],
    ],
    [
      "combines a product and its bias to a Gemm",
      `graph (x: float32[batch, 4]) -> (y: float32[batch, 3]) {
  w: float32[4, 3] = random(seed 1)
  bias: float32[3] = random(seed 2)
  a = MatMul(x, w)
  y = Add(a, bias)
}`,
      ["Gemm"],
    ],
  ] as const)("%s", async (_, text, left) => {
    const model = await simplified(text);
    expect(operators(model)).toEqual([...left]);
    const header = (printed: string): string | undefined => /->.*/.exec(printed)?.[0];
    expect(header(printModel(model))).toBe(header(printModel(parseModel(`opset 21\n${text}`))));
  });

  test("folds integers beyond 2^53 or their type with the runtime's results", async () => {
    const model = parseModel(`opset 21
graph (x: float32[1]) -> (product: int64[1], joined: int64[2], wrapped: int32[1], half: int64[1]) {
  a: int64[1] = [3037000500]
  b: int64[1] = [3037000501]
  odd: int64[1] = [9007199254740993]
  c: int32[1] = [1664525]
  s: int64[1] = [2049]
  product = Mul(a, b)
  joined = Concat(odd, a) {axis=0}
  wrapped = Mul(c, c)
  h = Cast(s) {to=10}
  half = Cast(h) {to=7}
}`);
    await simplify(model, {}, { engine });
    const session = await engine.load(model);
    const outputs = Object.values(await session.run({ x: fromNumbers("float32", [1], [0]) }));
    await session.release();
    expect(outputs.map(({ data }) => Array.from(data, String))).toEqual([
      [String(BigInt.asIntN(64, 3037000500n * 3037000501n))],
      ["9007199254740993", "3037000500"],
      [String(BigInt.asIntN(32, 1664525n * 1664525n))],
      ["2048"],
    ]);
  });

  test("keeps the sign of zeros", async () => {
    const model = parseModel(`opset 21
graph (n: int64[1]) -> (y: float32[2]) {
  a = ConstantOfShape(n) {value=float32[1] [-0.0]}
  b = ConstantOfShape(n) {value=float32[1] [0.0]}
  c = Reciprocal(a)
  d = Reciprocal(b)
  y = Concat(c, d) {axis=0}
}`);
    await simplify(model, {}, { engine });
    const session = await engine.load(model);
    const { y } = await session.run({ n: fromNumbers("int64", [1], [1]) });
    await session.release();
    expect(y === undefined ? [] : toNumbers(y)).toEqual([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]);
  });

  test("keeps two random nodes separate", async () => {
    const model = parseModel(`opset 21
graph (x: float32[2, 3]) -> (y: float32[2, 3]) {
  a = RandomNormalLike(x)
  b = RandomNormalLike(x)
  c: float32[2] = [1, 2]
  d = Bernoulli(c)
  e = Sub(a, b)
  f = ReduceSum(d)
  y = Add(e, f)
}`);
    await simplify(model, {}, { engine });
    expect(operators(model)).toEqual(["RandomNormalLike", "RandomNormalLike", "Bernoulli", "Sub", "ReduceSum", "Add"]);
  });

  test("separates heads from samples that share an axis", async () => {
    const original = parseModel(`opset 17
graph (x: float32[9, batch, 24]) -> (y: float32[batch, 3, 8, 9]) {
  heads: int64[3] = [9, -1, 8]
  first: int64[4] = [-1, 3, 9, 8]
  whole: int64[3] = [-1, 9, 8]
  parted: int64[4] = [-1, 3, 8, 9]
  h = Reshape (x, heads)
  a = Transpose (h) {perm=[1, 0, 2]}
  p = Reshape (a, first)
  b = Reshape (p, whole)
  c = Transpose (b) {perm=[0, 2, 1]}
  y = Reshape (c, parted)
}`);
    const model = original.clone();
    await simplify(model);
    expect(operators(model)).toEqual(["Reshape", "Transpose"]);
    expect(await differs(original, model, { batch: 2 })).toBe(0);
  });

  test("keeps a merged axis that is split at other boundaries", async () => {
    const text = `graph (x: float32[9, batch, 24]) -> (y: float32[batch, 3, 3, 24]) {
  merged: int64[3] = [9, -1, 8]
  across: int64[4] = [-1, 3, 3, 24]
  h = Reshape (x, merged)
  a = Transpose (h) {perm=[1, 0, 2]}
  y = Reshape (a, across)
}`;
    expect(operators(await simplified(text, { fix: { batch: 2 } }))).toEqual(["Reshape", "Transpose", "Reshape"]);
    expect(operators(await simplified(text))).toEqual(["Reshape", "Transpose", "Reshape"]);
  });

  test("removes unread weights from the inputs", async () => {
    const model = parseModel(`opset 21
graph (x: float32[batch, 2, 4, 4]) -> (y: float32[batch, 3, 4, 4]) {
  w: float32[3, 2, 1, 1] = random(seed 1)
  factor: float32[] = 3
  a = Conv(x, w)
  y = Mul(a, factor)
}`);
    model.header.irVersion = 3;
    model.graph.setInputs([...model.graph.values()].filter(({ producer }) => producer === undefined));
    await simplify(model, {}, { engine });
    expect(operators(model)).toEqual(["Conv"]);
    expect(model.graph.inputs.map(({ name }) => name)).toEqual(["x"]);
    expect(verify(model)).toEqual([]);
  });

  test("does not store a tensor with several readers twice", async () => {
    const text = `graph (ids: int64[batch]) -> (y: float32[batch, 300]) {
  table: float32[300, 100] = random(seed 1)
  e = Gather(table, ids)
  t = Transpose(table)
  y = MatMul(e, t)
}`;
    expect(operators(await simplified(text))).toEqual(["Gather", "Transpose", "MatMul"]);
  });

  test("keeps a Reshape of nearest-neighbor labels, which have one row for all samples", async () => {
    const text = `opset 17, ai.onnx.ml 3
graph (x: float32[n, 6]) -> (y: float32[n]) {
  k: int64[1] = [3]
  labels: float32[6] = [0, 1, 2, 3, 4, 5]
  rows: int64[2] = [-1, 3]
  values, places = TopK(x, k)
  near = ai.onnx.ml.ArrayFeatureExtractor(labels, places)
  table = Reshape(near, rows)
  y = ReduceMean(table) {axes=[1], keepdims=0}
}`;
    const model = parseModel(text);
    const original = model.clone();
    await simplify(model, {}, { engine });
    expect(operators(model)).toContain("Reshape");
    for (const n of [1, 2, 5]) expect(await differs(original, model, { n })).toBe(0);
  });

  test("does not fold constants that are much larger than their sources", async () => {
    const text = `graph (x: float32[batch, 400]) -> (y: float32[batch, 400]) {
  one: float32[] = 1
  n: int64[2] = [400, 400]
  table = Expand(one, n)
  half = Exp(table)
  y = MatMul(x, half)
}`;
    expect(operators(await simplified(text))).toEqual(["Expand", "Exp", "MatMul"]);
  });
});

const branches = `graph (x: float32[batch, 3], mode: int64[]) -> (y: float32[batch, 3], z: float32[batch, 3]) {
  h = Relu(x)
  one: int64[] = 1
  fast = Equal(mode, one)
  y = If(fast) {then_branch=graph yes () -> (y_yes) {
    half: float32[] = 0.5
    scaled = Mul(h, half)
    y_yes = Identity(scaled)
  }, else_branch=graph no () -> (y_no) {
    y_no = Exp(h)
  }}
  z = Neg(x)
}`;

describe("options of simplify", () => {
  test("selects the branch that a fixed input decides", async () => {
    const fast = await simplified(branches, { set: { mode: 1 } });
    expect(operators(fast)).toEqual(["Relu", "Mul", "Neg"]);
    expect(fast.graph.inputs.map(({ name }) => name)).toEqual(["x"]);
    expect(fast.graph.outputs.map(({ name }) => name)).toEqual(["y", "z"]);
    expect(operators(await simplified(branches, { set: { mode: 2 } }))).toEqual(["Relu", "Exp", "Neg"]);
  });

  test("keeps only the nodes that the kept outputs need", async () => {
    const model = await simplified(branches, { keepOutputs: ["z"], set: {} });
    expect(operators(model)).toEqual(["Neg"]);
    expect(model.graph.inputs.map(({ name }) => name)).toEqual(["x"]);
    const inner = await simplified(branches, { keepOutputs: ["h"], set: {} });
    expect(inner.graph.outputs.map(({ name }) => name)).toEqual(["h"]);
  });

  test("fixes a dimension everywhere", async () => {
    const text = `graph (x: float32[batch, seq], y: float32[batch, "seq + 1"]) -> (z: float32[batch, "2*seq + 1"]) {
  z = Concat(x, y) {axis=1}
}`;
    const model = await simplified(text, { fix: { batch: 2, seq: 4 } });
    expect(printModel(model)).toContain("(x: float32[2, 4], y: float32[2, 5]) -> (z: float32[2, 9])");
    const half = await simplified(text, { fix: { batch: 2 } });
    expect(half.graph.outputs[0]?.type?.dims?.map(dimText)).toEqual(["2", "2*seq + 1"]);
  });

  test.each([
    ["an unknown input", { set: { nothing: 1 } }, "E_NAME"],
    ["a text for a number", { set: { mode: "one" } }, "E_OPTION"],
    ["a fraction for an integer", { set: { mode: 0.5 } }, "E_TYPE_MISMATCH"],
    ["too many numbers", { set: { mode: [1, 2] } }, "E_SHAPE_MISMATCH"],
    ["one number for a named dimension", { set: { x: 1 } }, "E_SHAPE_MISMATCH"],
    ["numbers for two named dimensions", { set: { x: [1, 2] } }, "E_SHAPE_MISMATCH"],
    ["an unknown dimension", { fix: { height: 1 } }, "E_NAME"],
    ["an invalid size", { fix: { batch: 0.5 } }, "E_OPTION"],
    ["an unknown output", { keepOutputs: ["nothing"] }, "E_NAME"],
  ])("rejects %s, and changes nothing", async (_, options, code) => {
    const model = parseModel(`opset 21\n${branches}`);
    const before = structureHash(model);
    await expect(simplify(model, options as never, { engine })).rejects.toMatchObject({ code });
    expect(structureHash(model)).toBe(before);
  });

  test("fills all elements of an input with one number", async () => {
    const text = "graph (x: float32[n, 3], gain: float32[3]) -> (y: float32[n, 3]) {\n  y = Mul(x, gain)\n}";
    expect(printModel(await simplified(text, { set: { gain: 2 } }))).toContain("gain: float32[3] = [2, 2, 2]");
  });

  test("accepts values for an input if a named dimension is fixed, as the error suggests", async () => {
    const text = "opset 21\ngraph (ids: int64[s77, seq]) -> (y: int64[s77, seq]) {\n  y = Neg(ids)\n}";
    const set = { ids: [1, 2, 3] };
    const hint = "Fix the sizes of named dimensions as well, with `fix`: s77=1.";
    for (const values of [set, { ids: 1 }])
      await expect(simplify(parseModel(text), { set: values }, { engine })).rejects.toMatchObject({ hint });
    const model = parseModel(text);
    await simplify(model, { set, fix: { s77: 1 } }, { engine });
    expect(model.graph.outputs.map(({ tensor }) => tensor?.dims)).toEqual([[1, 3]]);
    const odd = simplify(parseModel(text.replaceAll("s77", "2")), { set }, { engine });
    await expect(odd).rejects.toMatchObject({ hint: "It requires a multiple of 2 numbers." });
  });
});

/** Two layers with equal biases, one of them masked, and an identity, a duplicate and a constant between them. */
const network = `opset 21
graph (x: float32[batch, 6]) -> (y: float32[batch, 3]) {
  fc1.weight: float32[4, 6] = random(seed 1)
  fc1.bias: float32[4] = [0, 0, 0, 0]
  fc2.weight: float32[4, 4] = random(seed 2)
  fc2.bias: float32[4] = [0, 0, 0, 0]
  head.weight: float32[4, 3] = random(seed 3)
  head.bias: float32[3] = [0, 0, 0]
  a = Gemm(x, fc1.weight, fc1.bias) {transB=1}
  b = Identity(a)
  c = Tanh(b)
  d = Tanh(b)
  e = Add(c, d)
  f = Gemm(e, fc2.weight, fc2.bias) {transB=1}
  g = Relu(f)
  h = MatMul(g, head.weight)
  y = Add(h, head.bias)
}`;

async function losses(model: Model): Promise<readonly number[]> {
  const numbers = random(5, "data");
  const batch: Batch = {
    x: fromNumbers(
      "float32",
      [8, 6],
      Array.from({ length: 48 }, () => numbers.normal()),
    ),
    label: fromNumbers(
      "int64",
      [8],
      Array.from({ length: 8 }, () => numbers.integer(3)),
    ),
  };
  const step = await createStep(model, batch, { loss: crossEntropy() }, completeContext({ engine }));
  try {
    const optimizer = sgd({ momentum: 0.9 });
    const lossPerStep: number[] = [];
    for (let index = 0; index < 6; index++) {
      lossPerStep.push(await step.run(batch));
      optimizer.update(step.parameters, 0.1);
    }
    return lossPerStep;
  } finally {
    await step.release();
  }
}

test("a change names the node that was replaced, also if it has no name of its own", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {
  w: float32[2, 2] = random(seed 1)
  bias: float32[2] = [1, 2]
  p = MatMul(x, w)
  y = Add(p, bias)
}`);
  const { changes } = await simplify(model, {}, { engine });
  expect(changes.map(({ at }) => at)).toEqual(['Add "y"']);
});

describe("simplify and finalize on a masked network", () => {
  test("keeps the training losses of a network, also after it is saved and opened", async () => {
    const model = parseModel(network);
    await prune(model, { layers: "fc1", amount: 0.5, keepMasks: true });
    const expected = await losses(model.clone());
    const before = operators(model).length;
    const { changes } = await simplify(model, {}, { engine });
    expect(changes.length).toBeGreaterThan(0);
    expect(operators(model).length).toBeLessThan(before);
    const opened = await open(await encodeToBytes(model));
    expect(opened.graph.value("fc1.weight_mask")?.role).toEqual({ kind: "mask" });
    expect([...opened.graph.values()].filter(({ name }) => name.endsWith("bias")).length).toBe(3);
    const got = await losses(opened);
    got.forEach((loss, index) => {
      expect(Math.abs(loss - (expected[index] ?? Number.NaN))).toBeLessThan(1e-6);
    });
    expect(new Set(expected).size).toBe(expected.length);
  });

  test("keeps a mask of ones, and trainable zeros", async () => {
    const model = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {
  w_orig: float32[2, 2] parameter = [1, 2, 3, 4]
  w_mask: float32[2, 2] mask = [1, 1, 1, 1]
  bias: float32[2] = [0, 0]
  w = Mul(w_orig, w_mask)
  h = MatMul(x, w)
  y = Add(h, bias)
}`);
    await simplify(model, {}, { engine });
    expect(operators(model)).toEqual(["Mul", "Gemm"]);
  });

  test("throws E_STOPPED if the signal is aborted", async () => {
    const stopped = simplify(parseModel(network), {}, { engine, signal: AbortSignal.abort() });
    await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
  });

  test("makes a finalized network as small as one without masks", async () => {
    const model = parseModel(network);
    const plain = model.clone();
    await prune(model, { layers: "fc1", amount: 0.5, keepMasks: true });
    const masked = model.clone();
    await finalize(model, {}, { engine });
    expect([...model.graph.values()].some(({ role }) => role !== undefined)).toBe(false);
    expect(await differs(masked, model)).toBe(0);
    await simplify(model, {}, { engine });
    await simplify(plain, {}, { engine });
    expect(operators(model)).toEqual(operators(plain));
    expect((await finalize(model, {}, { engine })).changes).toEqual([]);
  });
});
