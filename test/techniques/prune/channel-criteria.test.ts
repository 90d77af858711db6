/** Tests criteria of channels: golden values of NumPy, invariances, and errors. */
import { readFileSync } from "node:fs";
import type { Model } from "pith";
import { float32, inMemory, toNumbers } from "pith";
import { memory } from "pith/data";
import { parseModel } from "pith/extend";
import { type ChannelUnits, type Importance, prune } from "pith/prune";
import { describe, expect, test } from "vitest";
import { channelGroups, freeUnits } from "../../../src/core/analysis/channels.ts";
import { infer } from "../../../src/core/analysis/infer.ts";
import { Miss } from "../../../src/core/errors.ts";
import { completeContext } from "../../../src/core/pass/run-pass.ts";
import { unitScorerOf } from "../../../src/techniques/prune/channel-scores.ts";
import type { ScoringOptions } from "../../../src/techniques/prune/importance.ts";

type Rows = readonly (readonly number[])[];
const golden: Readonly<Record<"x" | "a" | "b" | "target", Rows>> &
  Readonly<Record<"gamma" | "beta" | "mean" | "variance", readonly number[]>> & {
    readonly epsilon: number;
    readonly scores: Readonly<Record<string, readonly number[]>>;
  } = JSON.parse(readFileSync(new URL("../../golden/channel-criteria.generated.json", import.meta.url), "utf8"));

const text = (numbers: unknown): string => JSON.stringify(numbers);
const all = [0, 1, 2, 3, 4];

/** The network of the golden file with its channels in this order, and `a` times a factor. */
function network(order: readonly number[] = all, times = 1): Model {
  const { a, b, gamma, beta, mean, variance, epsilon } = golden;
  const ordered = <T>(list: readonly T[]): readonly T[] => order.map((at) => list[at] as T);
  return parseModel(`opset 21
graph (x: float32[batch, 3]) -> (y: float32[batch, 2]) {
  a: float32[3, 5] = ${text(a.map((row) => ordered(row).map((w) => w * times)))}
  b: float32[5, 2] = ${text(ordered(b))}
  gamma: float32[5] = ${text(ordered(gamma))}
  beta: float32[5] = ${text(ordered(beta))}
  mean: float32[5] = ${text(ordered(mean))}
  variance: float32[5] = ${text(ordered(variance))}
  m = MatMul "first" (x, a)
  n = BatchNormalization (m, gamma, beta, mean, variance) {epsilon=${epsilon}}
  h = Relu (n)
  y = MatMul "second" (h, b)
}`);
}

const table = (rows: Rows) => float32([rows.length, rows[0]?.length ?? 0], rows.flat());
const data = memory("golden", { x: table(golden.x), label: table(golden.target) });

async function scores(model: Model, options: ScoringOptions, at = 0): Promise<Float64Array | Miss> {
  const groups = channelGroups(model, infer(model)).filter((group) => freeUnits(group).length > 0);
  const scorer = await unitScorerOf(model, groups, { loss: "mse", ...options }, completeContext({}));
  return scorer(groups[at] ?? expect.fail("there is no such group"));
}

async function numbers(model: Model, options: ScoringOptions, at = 0): Promise<readonly number[]> {
  const unitScores = await scores(model, options, at);
  return unitScores instanceof Miss ? expect.fail(unitScores.reason) : [...unitScores];
}

const close = (actual: readonly number[], expected: readonly number[], digits = 1e-5): void => {
  expect(actual).toHaveLength(expected.length);
  for (const [at, value] of expected.entries())
    expect(Math.abs((actual[at] ?? 0) - value)).toBeLessThan(digits * Math.abs(value));
};

const names = Object.keys(golden.scores);

describe.each(names)("%s", (importance) => {
  test("equals NumPy", async () => {
    close(await numbers(network(), { importance, data }), golden.scores[importance] ?? []);
  });

  test("is permuted with the channels", async () => {
    const order = [3, 0, 4, 2, 1];
    const originalScores = await numbers(network(), { importance, data });
    const permutedScores = await numbers(network(order), { importance, data });
    close(
      permutedScores,
      order.map((at) => originalScores[at] ?? 0),
    );
  });
});

test("magnitude is invariant to the scale of the layer", async () => {
  const importance = "magnitude";
  close(await numbers(network(all, 8), { importance }), await numbers(network(), { importance }), 1e-12);
});

test("scores a head by the sum over its channels in values, queries and keys", async () => {
  // Two heads of two channels; one group for all three layers.
  const heads = parseModel(`opset 21
graph (x: float32[batch, 3, 4]) -> (y: float32[batch, 3, 4]) {
  q: float32[4, 4] = random(seed 1)
  k: float32[4, 4] = random(seed 2)
  v: float32[4, 4] = random(seed 3)
  o: float32[4, 4] = random(seed 4)
  split: int64[4] = [0, 3, 2, 2]
  joined: int64[3] = [0, 3, 4]
  xq = MatMul "q" (x, q)
  xk = MatMul "k" (x, k)
  xv = MatMul "v" (x, v)
  sq = Reshape (xq, split)
  sk = Reshape (xk, split)
  sv = Reshape (xv, split)
  hq = Transpose (sq) {perm=[0, 2, 1, 3]}
  hk = Transpose (sk) {perm=[0, 2, 3, 1]}
  hv = Transpose (sv) {perm=[0, 2, 1, 3]}
  s = MatMul (hq, hk)
  p = Softmax (s) {axis=-1}
  c = MatMul (p, hv)
  t = Transpose (c) {perm=[0, 2, 1, 3]}
  j = Reshape (t, joined)
  y = MatMul "o" (j, o)
}`);
  const groups = channelGroups(heads, infer(heads)).filter((group) => freeUnits(group).length > 0);
  expect(groups.map(({ units, layers }) => [units, layers.map(({ name }) => name)])).toEqual([[2, ["q", "k", "v"]]]);
  const squares: Importance<Float64Array> = {
    id: "squares",
    units: ({ sum }) => sum("layers", ({ rows }) => rows().map((row) => row.reduce((total, w) => total + w * w, 0))),
  };
  const expectedSums = [0, 0];
  for (const name of ["q", "k", "v"]) {
    const tensor = heads.graph.value(name)?.tensor ?? expect.fail(name);
    for (const [at, w] of toNumbers(await tensor.read()).entries())
      expectedSums.splice(Math.floor((at % 4) / 2), 1, (expectedSums[Math.floor((at % 4) / 2)] ?? 0) + w * w);
  }
  close(await numbers(heads, { importance: squares as Importance }), expectedSums);
});

test("isomorphic ranks groups with the same operators jointly, and others separately", async () => {
  const net = (): Model =>
    parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {
  a: float32[2, 4] = [[1, 2, 3, 4], [0, 0, 0, 0]]
  b: float32[4, 2] = random(seed 1)
  c: float32[2, 4] = [[5, 5, 5, 5], [0, 0, 0, 0]]
  d: float32[4, 2] = random(seed 2)
  e: float32[2, 4] = [[8, 8, 8, 7], [0, 0, 0, 0]]
  f: float32[4, 2] = random(seed 3)
  xa = MatMul "a" (x, a)
  ra = Relu (xa)
  xb = MatMul "b" (ra, b)
  xc = MatMul "c" (xb, c)
  rc = Relu (xc)
  xd = MatMul "d" (rc, d)
  xe = MatMul "e" (xd, e)
  re = Sigmoid (xe)
  y = MatMul "f" (re, f)
}`);
  const sizes: Importance = {
    id: "sizes",
    units: ({ sum }) => sum("layers", ({ rows }) => rows().map((row) => row.reduce((total, w) => total + w, 0))),
  };
  const countKeptChannels = async (scope: "global" | "isomorphic"): Promise<readonly unknown[]> => {
    const model = net();
    await prune(model, { structured: 0.5, scope, importance: sizes, layers: ["a", "c", "e"] });
    return ["a", "c", "e"].map((name) => model.graph.value(name)?.tensor?.dims[1]);
  };
  // Global removes six of 1, 2, 3, 4, 5, 5, 5, 5, 7, 8, 8, 8, but keeps one per layer. Isomorphic removes four of the first eight and two of the last four.
  expect(await countKeptChannels("global")).toEqual([1, 1, 4]);
  expect(await countKeptChannels("isomorphic")).toEqual([1, 3, 2]);
});

test.each([
  ["magnitude", NaN, "holds NaN"],
  ["magnitude", Infinity, "holds infinity"],
])("skips channels of a weight that is not finite (%s, %f)", async (importance, number, reason) => {
  const model = network();
  const weight = model.graph.value("a") ?? expect.fail("gone");
  const { dims, data: numbers } = (await weight.tensor?.read()) ?? expect.fail("gone");
  weight.tensor = inMemory(
    float32(
      dims,
      Float32Array.from(numbers as Float32Array, (w, at) => (at === 7 ? number : w)),
    ),
  );
  const { changes, misses } = await prune(model, { structured: 0.4, importance });
  expect(changes).toEqual([]);
  expect(misses).toContainEqual(new Miss(`its channels cannot be ranked: "a" ${reason}`, "first"));
});

describe("a custom criterion of channels", () => {
  const chain = `opset 17
graph (x: float32[n, 2]) -> (y) {
  fc1.weight: float32[3, 2] = [[1, 9], [2, 2], [3, 1]]
  fc2.weight: float32[3, 1] = [[1], [2], [3]]
  h = Gemm(x, fc1.weight) {transB=1}
  y = MatMul(h, fc2.weight)
}`;
  const pruneAndRead = async (importance: Importance): Promise<number[]> => {
    const net = parseModel(chain);
    await prune(net, { structured: 0.34, importance });
    return toNumbers(await (net.graph.value("fc2.weight")?.tensor ?? expect.fail("gone")).read());
  };

  test("ranks channels by any number", async () => {
    const least: Importance = {
      id: "least",
      units: ({ mean }) => mean("layers", ({ rows }) => rows().map((row) => Math.min(...row))),
    };
    // The minimums are 1, 2 and 1; the first of equal channels is removed.
    expect(await pruneAndRead(least)).toEqual([2, 3]);
    expect(await pruneAndRead({ id: "given", units: async () => Float64Array.of(3, 1, 2) })).toEqual([1, 3]);
  });

  test.each([
    [
      "a result without numbers",
      { units: () => 3 },
      /The importance "own": expected a Float64Array with a score for each unit of "fc1", got another value/,
    ],
    ["too few scores", { units: () => Float64Array.of(1) }, /got 1 scores for 3 units/],
    [
      "too few scores of a tensor",
      { units: ({ sum }: ChannelUnits) => sum("layers", () => [1]) },
      /got 1 scores for 3 channels/,
    ],
    [
      "a thrown error",
      {
        units() {
          throw new Error("out of luck");
        },
      },
      /The importance "own" failed: out of luck/,
    ],
  ] as const)("is rejected with the reason for %s", async (_, own, message) => {
    await expect(pruneAndRead({ id: "own", ...own } as never)).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringMatching(message),
    });
  });
});

describe("criteria of channels", () => {
  test.each([
    [
      "individual weights",
      { amount: 0.5, importance: "activation" },
      /"importance": "activation" ranks channels, not individual weights/,
    ],
    ["no samples", { structured: 0.5, importance: "activation" }, /the criterion "activation" requires samples/],
    ["no labels", { structured: 0.5, importance: "taylor" }, /the criterion "taylor" requires labeled samples/],
  ] as const)("reject %s", async (_, options, message) => {
    await expect(prune(network(), options)).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringMatching(message),
    });
  });

  test("reject gradients of integer weights, with the advice to prune before quantization", async () => {
    const net = parseModel(`opset 21
graph (x: float32[n, 3]) -> (y: float32[n, 2]) {
  scale: float32[] = 0.1
  zero: int8[] = 0
  a.weight: int8[3, 6] = random(seed 1, from -9 to 9)
  b.weight: int8[6, 4] = random(seed 2, from -9 to 9)
  c.weight: int8[4, 2] = random(seed 3, from -9 to 9)
  q = QuantizeLinear(x, scale, zero)
  d = DequantizeLinear(q, scale, zero)
  wa = DequantizeLinear(a.weight, scale, zero)
  wb = DequantizeLinear(b.weight, scale, zero)
  wc = DequantizeLinear(c.weight, scale, zero)
  h = MatMul "a" (d, wa)
  r = Relu(h)
  s = QuantizeLinear(r, scale, zero)
  t = DequantizeLinear(s, scale, zero)
  k = MatMul "b" (t, wb)
  u = QuantizeLinear(k, scale, zero)
  v = DequantizeLinear(u, scale, zero)
  y = MatMul "c" (v, wc)
}`);
    await expect(prune(net, { structured: 0.5, importance: "taylor", data, loss: "mse" })).rejects.toMatchObject({
      code: "E_NOT_DIFFERENTIABLE",
      message: expect.stringMatching(/^The criterion "taylor" needs gradients: /),
      hint: "Prune the float model, then quantize it. Use a criterion without gradients, such as magnitude, which needs no samples.",
    });
  });

  test.each(["activation", "taylor"])("change nothing with %s if no layer reads the channels", async (importance) => {
    const net = parseModel(`opset 17
graph (x: float32[n, 3]) -> (y) {
  fc.weight: float32[3, 2] = [[1, 9], [2, 2], [3, 1]]
  h = MatMul "fc" (x, fc.weight)
  y = ReduceSum(h) {keepdims=0}
}`);
    const { changes } = await prune(net, { structured: 0.5, importance, data, loss: "mse" });
    expect(changes).toEqual([]);
  });
});
