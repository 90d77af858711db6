import { describe, expect, test } from "vitest";
import { infer } from "../../core/analysis/infer.ts";
import { type ScaleGroup, scaleGroups } from "../../core/analysis/scale-groups.ts";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { toNumbers } from "../../core/tensor/convert.ts";
import { random } from "../../core/tensor/random.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { migrate } from "./move-factors.ts";

async function runOnce(model: Model, feeds: Batch): Promise<Batch> {
  const session = await createEngine().load(model);
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

const groupsOf = (model: Model): readonly ScaleGroup[] => scaleGroups(model, infer(model));
const isFree = ({ units, refused }: ScaleGroup): boolean => units > refused.size;
const takers = ({ slices }: ScaleGroup): readonly string[] =>
  slices.map(({ value, power }) => `${value.name} ${power === 1 ? "·" : "/"}`).sort();

function inputs(model: Model): Batch {
  return Object.fromEntries(
    model.graph.feeds.map(({ name, type }) => {
      const dims = (type?.dims ?? []).map((dim) => (typeof dim === "number" ? dim : 2));
      const numbers = random(1, name);
      const data = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => numbers.uniform(-1, 1));
      return [name, { type: "float32", dims, data }];
    }),
  );
}

async function expectSameOutputs(model: Model): Promise<void> {
  const feeds = inputs(model);
  const before = await runOnce(model.clone(), feeds);
  const numbers = random(2, "factors");
  for (const group of groupsOf(model)) {
    const factors = Float64Array.from({ length: group.units }, (_, unit) =>
      group.refused.has(unit) ? 1 : 2 ** numbers.uniform(-2, 2),
    );
    await migrate(model, group, factors);
  }
  for (const [name, dense] of Object.entries(await runOnce(model, feeds))) {
    const expected = toNumbers(before[name] ?? dense);
    for (const [index, value] of toNumbers(dense).entries())
      expect(value, name).toBeCloseTo(expected[index] ?? Number.NaN, 4);
  }
}

const graph = (body: string, input = "x: float32[batch, 4]"): Model =>
  parseModel(`opset 21\ngraph (${input}) -> (y) {\n${body}\n}`);

describe("scale factors migrate", () => {
  test.each([
    [
      "from a layer and its bias to the next layer",
      graph(`  w: float32[4, 3] = random(seed 1)\n  b: float32[3] = random(seed 2)\n  v: float32[3, 2] = random(seed 3)
  h = MatMul(x, w)\n  s = Add(h, b)\n  r = Relu(s)\n  y = MatMul(r, v)`),
      [["b ·", "v /", "w ·"]],
    ],
    [
      "into a normalization, and separately from it to the next layer",
      graph(
        `  w: float32[3, 4, 1, 1] = random(seed 1)\n  g: float32[3] = random(seed 2)\n  b: float32[3] = random(seed 3)\n  m: float32[3] = random(seed 4)
  q: float32[3] = [1, 2, 3]\n  v: float32[2, 3, 1, 1] = random(seed 5)
  h = Conv(x, w)\n  n = BatchNormalization(h, g, b, m, q)\n  r = LeakyRelu(n)\n  p = GlobalAveragePool(r)\n  y = Conv(p, v)`,
        "x: float32[batch, 4, 2, 2]",
      ),
      [
        ["g /", "m ·", "w ·"],
        ["b ·", "g ·", "v /"],
      ],
    ],
    [
      "into a depthwise convolution and out of it",
      graph(
        `  w: float32[3, 4, 1, 1] = random(seed 1)\n  d: float32[3, 1, 2, 2] = random(seed 2)\n  v: float32[2, 3, 1, 1] = random(seed 3)
  h = Conv(x, w)\n  r = Relu(h)\n  s = Conv(r, d) {group=3}\n  t = Relu(s)\n  y = Conv(t, v)`,
        "x: float32[batch, 4, 3, 3]",
      ),
      [
        ["d /", "w ·"],
        ["d ·", "v /"],
      ],
    ],
    [
      "from a layer normalization to all of its readers",
      graph(`  g: float32[4] = random(seed 1)\n  b: float32[4] = random(seed 2)\n  q: float32[4, 3] = random(seed 3)\n  k: float32[4, 3] = random(seed 4)
  n = LayerNormalization(x, g, b)\n  left = MatMul(n, q)\n  right = MatMul(n, k)\n  t = Sigmoid(left)\n  y = Mul(right, t)`),
      [["b ·", "g ·", "k /", "q /"]],
    ],
    [
      "through a product with a bounded gate",
      graph(`  w: float32[4, 3] = random(seed 1)\n  g: float32[4, 3] = random(seed 2)\n  v: float32[3, 2] = random(seed 3)
  a = MatMul(x, g)\n  t = Sigmoid(a)\n  h = MatMul(x, w)\n  m = Mul(t, h)\n  y = MatMul(m, v)`),
      [["v /", "w ·"]],
    ],
    [
      "between queries and keys, and from values to the output projection",
      graph(
        `  q: float32[4, 3] = random(seed 1)\n  k: float32[4, 3] = random(seed 2)\n  v: float32[4, 3] = random(seed 3)\n  o: float32[3, 2] = random(seed 4)
  a = MatMul(x, q)\n  b = MatMul(x, k)\n  c = MatMul(x, v)\n  t = Transpose(b) {perm=[0, 2, 1]}\n  scores = MatMul(a, t)
  p = Softmax(scores)\n  m = MatMul(p, c)\n  y = MatMul(m, o)`,
        "x: float32[batch, 5, 4]",
      ),
      [
        ["k /", "q ·"],
        ["o /", "v ·"],
      ],
    ],
    [
      "through a sum of two layers, a join and a flattening",
      graph(
        `  w: float32[2, 4, 1, 1] = random(seed 1)\n  u: float32[2, 4, 1, 1] = random(seed 2)\n  z: float32[3, 4, 1, 1] = random(seed 3)\n  v: float32[20, 2] = random(seed 4)
  a = Conv(x, w)\n  b = Conv(x, u)\n  s = Add(a, b)\n  c = Conv(x, z)\n  j = Concat(s, c) {axis=1}\n  f = Flatten(j)\n  y = MatMul(f, v)`,
        "x: float32[batch, 4, 2, 2]",
      ),
      [
        ["u ·", "v /", "w ·"],
        ["v /", "z ·"],
      ],
    ],
  ])("%s", async (_, model, expected) => {
    expect(groupsOf(model).filter(isFree).map(takers)).toEqual(expected);
    await expectSameOutputs(model);
  });
});

describe("scale factors do not migrate", () => {
  test.each([
    [
      "through an operator that is not homogeneous",
      "  h = MatMul(x, w)\n  s = Sigmoid(h)\n  y = MatMul(s, v)",
      "it does not commute with scale factors",
    ],
    [
      "through an added constant",
      "  c: float32[] = 1\n  h = MatMul(x, w)\n  s = Add(h, c)\n  y = MatMul(s, v)",
      "it requires these values unchanged",
    ],
    [
      "through an upper bound",
      "  l: float32[] = 0\n  u: float32[] = 6\n  h = MatMul(x, w)\n  s = Clip(h, l, u)\n  y = MatMul(s, v)",
      "it does not commute with scale factors",
    ],
    [
      "through a square",
      "  h = MatMul(x, w)\n  s = Mul(h, h)\n  y = MatMul(s, v)",
      "it requires these values unchanged",
    ],
    ["into an output", "  h = MatMul(x, w)\n  y = Relu(h)", "it is an output of the model"],
    [
      "into a weight that another node reads",
      "  h = MatMul(x, w)\n  a = MatMul(h, v)\n  b = MatMul(v, k)\n  c = ReduceSum(b) {keepdims=0}\n  y = Mul(a, c)",
      "a stored tensor cannot absorb it",
    ],
  ])("%s", async (_, body, reason) => {
    const model = graph(
      `  w: float32[4, 3] = random(seed 1)\n  v: float32[3, 2] = random(seed 2)\n  k: float32[2, 2] = random(seed 3)\n${body}`,
    );
    const refused = groupsOf(model).flatMap((group) => [...group.refused.values()].map((miss) => miss.reason));
    expect(refused).toContain(reason);
    await expectSameOutputs(model);
  });
});

test("migrate rejects invalid factors and changes nothing", async () => {
  const model = graph("  w: float32[4, 3] = random(seed 1)\n  h = MatMul(x, w)\n  y = Relu(h)");
  const [group] = groupsOf(model);
  if (group === undefined) throw new Error("there is no group");
  await expect(migrate(model, group, Float64Array.of(1, 2))).rejects.toThrow(
    "A group of 3 units takes as many factors, got 2.",
  );
  await expect(migrate(model, group, Float64Array.of(1, -2, 1))).rejects.toThrow(
    "Factors are positive numbers, got -2.",
  );
  await expect(migrate(model, group, Float64Array.of(1, 2, 1))).rejects.toThrow("it is an output of the model");
  const tensors = () => Array.from(model.graph.values(), ({ tensor }) => tensor);
  const before = tensors();
  await migrate(model, group, Float64Array.of(1, 1, 1));
  expect(tensors().every((tensor, index) => tensor === before[index])).toBe(true);
});
