/** Block-wise recovery with activations on disk if they do not fit in memory. */
import { expect, test } from "vitest";
import { type ScratchFile, scratchFile } from "../../../src/core/platform/node.ts";
import { openStorage, type Storage } from "../../../src/data/batches/batch-store.ts";
import { blockWise } from "../../../src/techniques/recover/block-wise.ts";
import { chain, data, spoiled } from "./chain.ts";
import { numbers, scopeOf } from "./networks.ts";

test("gives the same weights bit for bit with activations on disk, and closes each file", async () => {
  const original = chain();
  const changed = await spoiled(original);
  const counts = { opened: 0, closed: 0 };
  const file = async (): Promise<ScratchFile> => {
    const scratch = await scratchFile();
    counts.opened++;
    const close = async (): Promise<void> => {
      counts.closed++;
      await scratch.close();
    };
    return { ...scratch, close };
  };
  const weights = async (storage: Storage) => {
    const trial = changed.clone();
    await blockWise({ batch: 48, learningRate: 0.003, steps: 30 }).run(
      trial,
      await scopeOf(changed, original, data, storage),
    );
    await storage.release();
    return Promise.all(["a.weight", "d.weight", "f.bias"].map((name) => numbers(trial, name)));
  };
  const inMemory = await weights(openStorage());
  expect(await weights(openStorage({ memory: 20_000, file }))).toEqual(inMemory);
  expect(inMemory[0]).not.toEqual(await numbers(changed, "a.weight"));
  expect(counts.opened).toBeGreaterThan(2);
  expect(counts.closed).toBe(counts.opened);
});
