/** Tests the default criterion, allocation and multiples of channel pruning. */

import type { Model } from "pith";
import { float32 } from "pith";
import { memory } from "pith/data";
import { parseModel } from "pith/extend";
import { type PruneOptions, prune } from "pith/prune";
import { expect, test } from "vitest";
import { channelGroups, type Group } from "../../../src/core/analysis/channels.ts";
import { infer } from "../../../src/core/analysis/infer.ts";
import { originalChannelsOf } from "../../../src/core/analysis/provenance.ts";
import { scorePerCost } from "../../../src/techniques/prune/score-per-cost.ts";

/** Channel 0 has the largest weights, but the output ignores it; channel 1 has the smallest weights and decides the output. */
const network = (outputs: number): Model => {
  const row = (weight: number) => Array.from({ length: outputs }, (_, at) => (at % 2 === 0 ? weight : -weight));
  return parseModel(`opset 17
graph (x: float32[batch, 2]) -> (y: float32[batch, ${outputs}]) {
  a.weight: float32[2, 4] = [[9, 1, 2, 3], [9, 1, 2, 3]]
  b.weight: float32[4, ${outputs}] = ${JSON.stringify([row(0), row(5), row(0.01), row(0.02)])}
  h = MatMul "a" (x, a.weight)
  y = MatMul "b" (h, b.weight)
}`);
};
const samples = memory("samples", { x: float32([4, 2], [1, 2, 3, 1, -1, 2, 2, -3]) });

async function pruned(model: Model, options: Omit<PruneOptions, "structured">) {
  const notes: string[] = [];
  const log = ({ id, text }: { id: string; text: string }): void => void (id === "criterion" && notes.push(text));
  await prune(model, { structured: 0.25, ...options }, { log });
  return { kept: originalChannelsOf(model, "a"), notes };
}

test("ranks channels by Taylor scores if the model scores classes; samples need no labels", async () => {
  const { kept, notes } = await pruned(network(3), { data: samples });
  expect(kept).toEqual([1, 2, 3]);
  expect(notes).toEqual(["channels are ranked by how much the predictions would change without them (Taylor scores)"]);
});

test("ranks channels by activations if the model does not score classes, and says why", async () => {
  const { kept, notes } = await pruned(network(1), { data: samples });
  expect(kept).toEqual([0, 2, 3]);
  expect(notes).toEqual([
    "channels are ranked by the size of their values (activations): the model does not score classes",
  ]);
});

test("ranks channels by magnitude without samples", async () => {
  const { kept, notes } = await pruned(network(3), {});
  expect(kept).toEqual((await pruned(network(3), { importance: "magnitude" })).kept);
  expect(kept).toEqual([0, 2, 3]);
  expect(notes).toEqual([]);
});

test("rejects a loss that does not fit the samples", async () => {
  await expect(pruned(network(3), { data: samples, loss: "cross-entropy" })).rejects.toMatchObject({ code: "E_DATA" });
});

/** Two hidden layers with different operators around them. The outputs hardly depend on the layer "weak". */
const branches = (): Model =>
  parseModel(`opset 17
graph (x: float32[batch, 2]) -> (y: float32[batch, 3]) {
  strong.weight: float32[2, 12] = random(seed 1)
  strong.out: float32[12, 3] = random(seed 2)
  weak.weight: float32[2, 12] = random(seed 3)
  weak.out: float32[12, 3] = random(seed 4, from -0.01 to 0.01)
  s = MatMul "strong" (x, strong.weight)
  r = Relu (s)
  p = MatMul (r, strong.out)
  w = MatMul "weak" (x, weak.weight)
  t = Tanh (w)
  q = MatMul (t, weak.out)
  y = Add (p, q)
}`);

test("a bound on macs removes channels with the lowest influence in any layer", async () => {
  const countKept = async (scope?: "isomorphic"): Promise<readonly unknown[]> => {
    const model = branches();
    await prune(model, { structured: true, macs: 0.75, data: samples, scope });
    return ["strong", "weak"].map((name) => originalChannelsOf(model, name)?.length);
  };
  expect(await countKept()).toEqual([11, 7]);
  expect(await countKept("isomorphic")).toEqual([9, 9]);
});

test("channels with equal influence are removed where they save more, and no layer loses all of them first", async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 4]) -> (y: float32[batch, 2]) {
  a.weight: float32[4, 8] = random(seed 1)
  b.weight: float32[8, 64] = random(seed 2)
  c.weight: float32[64, 2] = random(seed 3)
  h = MatMul "a" (x, a.weight)
  i = Relu (h)
  j = MatMul "b" (i, b.weight)
  k = Relu (j)
  y = MatMul "c" (k, c.weight)
}`);
  const [a, b] = channelGroups(model, infer(model));
  const scorer = scorePerCost(
    async ({ units }) => new Float64Array(units).fill(1),
    { kind: "macs", value: 0.5 },
    model,
  );
  const [scoresOfA, scoresOfB] = [await scorer(a as Group), await scorer(b as Group)] as Float64Array[];
  // A channel of `a` saves 4 + 64 multiply-accumulates, one of `b` saves 8 + 2.
  expect((scoresOfB?.[0] ?? 0) / (scoresOfA?.[0] ?? 0)).toBeCloseTo(69 / 11);
  expect((scoresOfA?.at(-1) ?? 0) / (scoresOfA?.[0] ?? 0)).toBeCloseTo(8 ** 1.5 - 7 ** 1.5);
});

test("a weight that two layers share counts once as parameters and twice as multiply-accumulates", async () => {
  const model = parseModel(`opset 17
graph (x: float32[batch, 4], z: float32[batch, 4]) -> (y: float32[batch, 2]) {
  a.weight: float32[4, 8] = random(seed 1)
  b.weight: float32[8, 2] = random(seed 2)
  h = MatMul (x, a.weight)
  i = MatMul (z, a.weight)
  j = Add (h, i)
  y = MatMul "b" (j, b.weight)
}`);
  const [group] = channelGroups(model, infer(model));
  const scoreOf = async (kind: "targetSize" | "macs") => {
    const scorer = scorePerCost(async ({ units }) => new Float64Array(units).fill(1), { kind, value: 0.5 }, model);
    return ((await scorer(group as Group)) as Float64Array)[0];
  };
  expect(await scoreOf("targetSize")).toBeCloseTo(1 / (1 + 4 + 2));
  expect(await scoreOf("macs")).toBeCloseTo(1 / (1 + 2 * 4 + 2));
});

/** Two isomorphic layers. The channels of `a` have similar norms, those of `b` differ more. */
const wide = (width: number): Model =>
  parseModel(`opset 17
graph (x: float32[batch, 4]) -> (y: float32[batch, 2]) {
  a.weight: float32[4, ${width}] = random(seed 1, from 0.9 to 1.1)
  b.weight: float32[${width}, ${width}] = random(seed 2)
  c.weight: float32[${width}, 2] = random(seed 3)
  h = MatMul "a" (x, a.weight)
  i = Relu (h)
  j = MatMul "b" (i, b.weight)
  k = Relu (j)
  y = MatMul "c" (k, c.weight)
}`);

test.each([
  [128, 16],
  [64, 16],
  [48, 8],
  [32, 8],
  [16, 4],
  [12, 1],
])("a layer of %i channels keeps a multiple of %i", async (width, multiple) => {
  for (const structured of [0.1, 0.3, 0.55, 0.9]) {
    const model = wide(width);
    await prune(model, { structured });
    const [a = 0, b = 0] = ["a", "b"].map((name) => originalChannelsOf(model, name)?.length ?? width);
    expect([a % multiple, b % multiple]).toEqual([0, 0]);
    // Blocks are ranked over both layers, so together they miss the amount by few blocks.
    expect(Math.abs(a + b - 2 * width * (1 - structured))).toBeLessThanOrEqual(2 * multiple);
  }
});

test("uses the isomorphic allocation by default", async () => {
  const [usual, named, uniform] = [wide(12), wide(12), wide(12)];
  await prune(usual, { structured: 0.2 });
  await prune(named, { structured: 0.2, scope: "isomorphic" });
  await prune(uniform, { structured: 0.2, scope: "uniform" });
  const kept = (model: Model) => ["a", "b"].map((name) => originalChannelsOf(model, name));
  expect(kept(usual)).toEqual(kept(named));
  expect(kept(usual)).not.toEqual(kept(uniform));
});
