/** Blocks that are trained by themselves answer as those of the original do. */
import { expect, test } from "vitest";
import { openStorage, type Storage } from "../../src/data/store.ts";
import { PithError } from "../../src/errors.ts";
import { evaluate, signalToNoise } from "../../src/evaluate/index.ts";
import { type ScratchFile, scratchFile } from "../../src/platform/node.ts";
import { blockWise } from "../../src/recover/block-wise.ts";
import { change, convolutions, engine, network, numbers, samples, scopeOf } from "./networks.ts";

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

test("with what does not fit in memory on disk the weights are the same, to the bit, and each file is closed", async () => {
  const original = build();
  const changed = original.clone();
  await change(changed, "a.weight", (one, at) => (at % 4 === 0 ? 0 : one));
  const counts = { opened: 0, closed: 0 };
  const file = async (): Promise<ScratchFile> => {
    const made = await scratchFile();
    counts.opened++;
    const close = async (): Promise<void> => {
      counts.closed++;
      await made.close();
    };
    return { ...made, close };
  };
  const weights = async (storage: Storage) => {
    const trial = changed.clone();
    await blockWise({ batch: 48, learningRate: 0.003 }).run(trial, await scopeOf(changed, original, data, storage));
    await storage.release();
    return Promise.all(["a.weight", "b.weight", "fc.bias"].map((name) => numbers(trial, name)));
  };
  const inMemory = await weights(openStorage());
  expect(await weights(openStorage({ memory: 40_000, file }))).toEqual(inMemory);
  expect(inMemory[0]).not.toEqual(await numbers(changed, "a.weight"));
  expect(counts.opened).toBeGreaterThan(2);
  expect(counts.closed).toBe(counts.opened);
});

test("a disk that is full ends the stage with a sentence; what was kept is given back", async () => {
  const original = build();
  const changed = original.clone();
  await change(changed, "b.bias", (one) => one + 0.2);
  const full = new PithError("E_FILE", "the disk is full");
  let closed = 0;
  const file = async (): Promise<ScratchFile> => ({
    append: () => Promise.reject(full),
    fill: () => Promise.resolve(),
    close: async () => {
      closed++;
    },
  });
  // Room for the samples, and for what is behind the first block.
  const storage = openStorage({ memory: 90_000, file });
  await expect(stage.run(changed.clone(), await scopeOf(changed, original, data, storage))).rejects.toBe(full);
  await storage.release();
  expect(closed).toBeGreaterThan(0);
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
