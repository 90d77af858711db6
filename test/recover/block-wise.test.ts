/** Blocks that are trained by themselves answer as those of the original do. */
import { expect, test } from "vitest";
import { evaluate, signalToNoise } from "../../src/evaluate/index.ts";
import { blockWise } from "../../src/recover/block-wise.ts";
import { change, convolutions, engine, network, samples, scopeOf } from "./networks.ts";

const data = samples([64, 3, 6, 6]);
const unseen = samples([32, 3, 6, 6], 2);
const build = () => convolutions(6, 6, 4);
const stage = blockWise({ batch: 16, learningRate: 0.003 });

test("the answers come nearer, without labels, and the edits made to a copy make the same model", async () => {
  const original = build();
  const changed = original.clone();
  await change(changed, "a.weight", (one, at) => (at % 4 === 0 ? 0 : one));
  await change(changed, "b.bias", (one) => one + 0.2);
  const trial = changed.clone();
  const figure = async () => (await evaluate(engine, trial, unseen, signalToNoise(), { original })).estimate.value;
  const before = await figure();
  const { edits, misses } = await stage.run(trial, await scopeOf(changed, original, data));
  expect(misses).toEqual([]);
  expect(await figure()).toBeGreaterThan(before + 3);
  for (const edit of edits) await edit(changed);
  const again = (await evaluate(engine, changed, unseen, signalToNoise(), { original })).estimate.value;
  expect(again).toBe(await figure());
});

test("blocks that answer as the original's stay as they are", async () => {
  const original = build();
  const { edits } = await stage.run(original.clone(), await scopeOf(original, original, data));
  expect(edits).toEqual([]);
});

test("blocks that the original does not have, or that answer in other dimensions, are left, with the reason", async () => {
  const original = build();
  const other = network(
    "x: float32[n, 3, 6, 6]",
    "y: float32[n, 4]",
    { "c.weight": [5, 3, 3, 3], "c.bias": [5], "fc.weight": [4, 5], "fc.bias": [4] },
    "  r = Conv(x, c.weight, c.bias)\n  p = GlobalAveragePool(r)\n  f = Flatten(p)\n  z = Gemm(f, fc.weight, fc.bias) {transB=1}\n  y = Relu(z)",
  );
  const { misses } = await stage.run(other, await scopeOf(other, original, data));
  expect(misses.map(({ reason }) => reason).join()).toMatch(/other dimensions|the original has no/);
});
