/** Tests how an amount is spread over the layers of a network. */
import type { Model } from "pith";
import { toNumbers } from "pith";
import { parseModel } from "pith/extend";
import { type Allocation, type PruneOptions, prune } from "pith/prune";
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { topology } from "../../zoo/topologies.ts";
import { expectShares } from "./shares.ts";

/** Counts the zeros of each layer's weight, by layer name. */
async function zeros(model: Model): Promise<Record<string, number>> {
  const zeroCounts: Record<string, number> = {};
  for (const { weight, name } of layers(model, infer(model)))
    if (weight.tensor !== undefined)
      zeroCounts[name] = toNumbers(await weight.tensor.read()).filter((value) => value === 0).length;
  return zeroCounts;
}

/** Three layers, the second with the smallest values. */
const three = () =>
  parseModel(`opset 17
graph (x: float32[n, 2]) -> (y) {
  a: float32[2, 5] = [[10, 20, 30, 40, 50], [60, 70, 80, 90, 100]]
  b: float32[5, 4] = [[0.01, 0.02, 0.03, 0.04], [0.05, 0.06, 0.07, 0.08], [0.09, 0.1, 0.11, 0.12], [0.13, 0.14, 0.15, 0.16], [0.17, 0.18, 0.19, 0.2]]
  c: float32[4, 5] = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [11, 12, 13, 14, 15], [16, 17, 18, 19, 20]]
  h = MatMul "fc1" (x, a)
  k = MatMul "fc2" (h, b)
  y = MatMul "fc3" (k, c)
}`);
const pruned = async (options: PruneOptions) => {
  const net = three();
  const { changes } = await prune(net, options);
  return { gone: Object.values(await zeros(net)), changes };
};

test.each([
  ["uniform", [5, 10, 10]],
  // 25 of the 40 weights outside of the first layer.
  // The smallest weights: all of the second layer, except the one that the layer keeps.
  ["global", [0, 19, 5]],
] as const)("scope %s removes the expected number of weights of each layer", async (scope, wanted) => {
  expect((await pruned({ amount: 0.5, scope })).gone).toEqual(wanted);
});

test("keeps a layer's largest weight if it would be empty, unless the amount is 1", async () => {
  const { changes } = await pruned({ amount: 0.5, scope: "global" });
  expect(changes.map(({ at, what }) => `${at}: ${what}`)).toEqual([
    "fc1: 0 of 10 pruned, 10 of 10 left",
    "fc2: 19 of 20 pruned, 1 of 20 left: the largest is kept, so that the layer is not empty",
    "fc3: 5 of 20 pruned, 15 of 20 left",
  ]);
  // 90 % of a row of two is 1.8, which rounds to both weights. Only the layer's largest weight is kept.
  expect((await pruned({ amount: 0.9, pattern: "rows", layers: "fc1" })).gone).toEqual([9, 0, 0]);
  expect((await pruned({ amount: 1, scope: "global" })).gone).toEqual([10, 20, 20]);
  expect((await pruned({ amount: 0.5, overrides: { fc1: { amount: 1 } } })).gone).toEqual([10, 10, 10]);
});

test("excludes a layer with a separate amount from the allocation", async () => {
  const { gone, changes } = await pruned({ amount: 0.5, scope: "global", overrides: { fc2: { amount: 0.1 } } });
  // The allocation removes the 15 smallest of the other layers' 30 weights.
  expect(gone).toEqual([1, 2, 14]);
  expect(changes.map(({ decidedBy }) => decidedBy)).toEqual(["global", "layer", "global"]);
});

describe("a custom allocation", () => {
  const seen: number[][] = [];
  const deeper: Allocation = {
    id: "deeper",
    async shares(all, amount) {
      for (const layer of all) seen.push([layer.left, ...(await layer.scores())]);
      return all.map((_, at) => (amount * at) / 2);
    },
  };

  test("sets the share of each layer, relative to its remaining weights", async () => {
    expect((await pruned({ amount: 0.8, scope: deeper })).gone).toEqual([0, 8, 16]);
    const net = three();
    await prune(net, { amount: 0.8, layers: "fc1", keepMasks: true });
    seen.length = 0;
    await prune(net, { amount: 0.5, scope: deeper, keepMasks: true });
    expect(seen[0]).toEqual([2, 90, 100]);
  });

  test.each([
    ["too few shares", () => [0.5]],
    ["shares above 1", () => [0.5, 2, 0.5]],
    ["no shares", () => undefined],
  ])("is rejected if it returns %s", async (_, shares) => {
    await expect(pruned({ amount: 0.5, scope: { id: "odd", shares } as never })).rejects.toThrow(
      /The allocation "odd": expected a share from 0 to 1 for each of 3 layers/,
    );
  });
});

describe("a custom allocation of channels", () => {
  const cut = async (scope: PruneOptions["scope"]): Promise<readonly string[]> => {
    const net = parseModel(`opset 17
graph (x: float32[1, 4]) -> (y: float32[1, 2]) {
  fc1.weight: float32[4, 16] = random(seed 1)
  fc2.weight: float32[16, 16] = random(seed 2)
  fc3.weight: float32[16, 12] = random(seed 3)
  fc4.weight: float32[12, 2] = random(seed 4)
  a = MatMul "fc1" (x, fc1.weight)
  b = MatMul "fc2" (a, fc2.weight)
  c = MatMul "fc3" (b, fc3.weight)
  y = MatMul "fc4" (c, fc4.weight)
}`);
    const { changes, misses } = await prune(net, { structured: 0.4, scope });
    return [...changes.map(({ at, what }) => `${at}: ${what}`), ...misses.map(({ at, reason }) => `${at}: ${reason}`)];
  };

  test("determines which groups are ranked together: all, none, or groups of equal width", async () => {
    const all = await cut({ id: "all", together: () => 1 });
    const each = await cut({ id: "each", together: (group) => group });
    expect(all).toEqual(await cut("global"));
    expect(each).toEqual(await cut("uniform"));
    expect(all).not.toEqual(each);
    const wide = await cut({ id: "by width", together: ({ layers }) => layers[0]?.outputs });
    expect([all, each]).not.toContainEqual(wide);
  });

  test("is rejected for weights, as an allocation of weights is for channels", async () => {
    const [deep, wide] = [
      { id: "deep", shares: () => [] },
      { id: "wide", together: () => 1 },
    ];
    await expect(cut(deep)).rejects.toThrow(/"scope": must be "uniform", "global" or "isomorphic" with/);
    await expect(pruned({ amount: 0.5, scope: wide })).rejects.toThrow(/"scope": must be "uniform", "global" or/);
    const odd = { id: "odd", together: () => JSON.parse("{") };
    await expect(cut(odd)).rejects.toThrow(/The allocation "odd" failed: .*JSON/);
  });
});

test.each([
  [{ amount: 0.5, scope: "lamb" }, /"scope": is "uniform", "global", .*an allocation \{ id, shares or together \}/],
  [{ amount: 0.5, scope: "isomorphic" }, /"scope": must be "uniform", "global" or "isomorphic" with/],
  [{ scope: "global", pattern: "2:4" }, /"scope": is not for a pattern that sets the share itself/],
])("rejects %j", async (options, message) => {
  await expect(pruned(options as never)).rejects.toThrow(message);
});

/** Sums, branches, groups, shared weights, heads and gates. */
const representatives = [
  "residual-sum",
  "concat",
  "grouped-conv",
  "shared-weights",
  "attention",
  "squeeze-excite",
  "recurrent",
];

test.each(representatives)(
  "criterion × pattern × allocation prunes the requested share and empties no layer: %s",
  (name) => expectShares(topology(name).text),
);
