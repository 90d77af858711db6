/** Block-wise recovery trains each block to reproduce the outputs of the original's block. */
import { expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import { PithError } from "../../../src/core/errors.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import type { ScratchFile } from "../../../src/core/platform/node.ts";
import { openStorage } from "../../../src/data/batches/batch-store.ts";
import type { Dataset } from "../../../src/data/batches/dataset.ts";
import { Calibration } from "../../../src/techniques/calibrate/calibration.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { blockWise } from "../../../src/techniques/recover/block-wise.ts";
import { chain, data, figure, spoiled, unseen } from "./chain.ts";
import { change, network, samples, scopeOf } from "./networks.ts";

const stage = blockWise({ batch: 16, learningRate: 0.005, steps: 72 });

test("brings the outputs nearer to the original's, without labels", async () => {
  const original = chain();
  const changed = await spoiled(original);
  const before = await figure(changed, original, unseen);
  const { what, misses } = await stage.run(changed, await scopeOf(changed, original, data));
  expect([what, misses]).toEqual(["3 blocks trained", []]);
  expect(await figure(changed, original, unseen)).toBeGreaterThan(before + 3);
});

test("reports progress over the steps of all blocks, with the current block", async () => {
  const original = chain();
  const changed = await spoiled(original);
  const scope = await scopeOf(changed, original, data);
  const seen: { readonly done: number; readonly total: number | undefined; readonly figures: string | undefined }[] =
    [];
  const progress = (done: number, total?: number, figures?: string): void => void seen.push({ done, total, figures });
  await stage.run(changed, { ...scope, context: { ...scope.context, progress } });
  expect(seen.map(({ done }) => done)).toEqual(seen.map(({ done }) => done).toSorted((a, b) => a - b));
  expect(new Set(seen.map(({ total }) => total))).toEqual(new Set([3 * 72]));
  for (const block of [1, 2, 3]) {
    const ofBlock = seen.filter(({ figures }) => figures?.startsWith(`block ${block} of 3`));
    expect(ofBlock[0]).toMatchObject({ done: 72 * (block - 1), figures: `block ${block} of 3` });
    expect(ofBlock.at(-1)).toMatchObject({ done: 72 * block, figures: expect.stringMatching(/, loss [\d.]+$/) });
  }
});

test("compares the remaining channels with those of the original", async () => {
  const original = chain();
  const changed = original.clone();
  await prune(changed, { amount: 0.3, structured: true });
  const before = await figure(changed, original, unseen);
  const { what, misses } = await stage.run(changed, await scopeOf(changed, original, data));
  expect([what, misses]).toEqual(["3 blocks trained", []]);
  expect(await figure(changed, original, unseen)).toBeGreaterThan(before + 3);
});

test("fails with a clear message on a full disk, and releases its files", async () => {
  const original = chain();
  const changed = await spoiled(original);
  const full = new PithError("E_FILE", "the disk is full");
  let closed = 0;
  const file = async (): Promise<ScratchFile> => ({
    append: () => Promise.reject(full),
    fill: () => Promise.resolve(),
    close: async () => {
      closed++;
    },
  });
  // The memory limit is just large enough for the samples of both models.
  const storage = openStorage({ memory: 10_000, file });
  await expect(stage.run(changed.clone(), await scopeOf(changed, original, data, storage))).rejects.toBe(full);
  await storage.release();
  expect(closed).toBeGreaterThan(0);
});

test("does not change blocks that already compute the original's outputs", async () => {
  const original = chain();
  const { changed } = await stage.run(original.clone(), await scopeOf(original, original, data));
  expect(changed).toBe(0);
});

test("skips blocks with other dimensions or without a batch axis, with the reason", async () => {
  const original = chain();
  const other = network("x: float32[n, 6]", "y: float32[n, 5]", { "w.weight": [6, 5] }, "  y = MatMul(x, w.weight)");
  const { changed: trained, misses } = await stage.run(other, await scopeOf(other, original, data));
  expect(trained).toBe(0);
  expect(misses.map(({ reason }) => reason)).toEqual([expect.stringContaining("output shape differs")]);
  const summed = () =>
    network(
      "x: float32[n, 4]",
      "y: float32[1, 2]",
      { "w.weight": [4, 2] },
      "  h = MatMul(x, w.weight)\n  axis: int64[1] = [0]\n  y = ReduceSum(h, axis)",
    );
  const rows = samples([16, 4]);
  const changed = summed();
  await change(changed, "w.weight", (one) => one + 1);
  const outcome = await stage.run(changed, await scopeOf(changed, summed(), rows));
  expect(outcome.misses.map(({ reason }) => reason)).toEqual([expect.stringContaining("has no batch axis")]);
});

test("copies the samples of a stream that reuses its arrays", async () => {
  const array = new Float32Array(1);
  const stream: Dataset = {
    name: "stream",
    count: undefined,
    async *batches() {
      for (let at = 1; at <= 4; at++) yield { x: { type: "float32", dims: [1, 1], data: array.fill(at) } };
    },
  };
  const model = parseModel("graph (x: float32[batch, 1]) -> (y) { y = Neg (x) }");
  const storage = openStorage();
  const walk = await Calibration.begin(model, stream, {
    engine: createEngine(),
    signal: new AbortController().signal,
    batch: 1,
    storage,
  });
  const outputs: number[] = [];
  for await (const { y } of walk.values(["y"])) outputs.push(Number(y?.data[0]));
  await storage.release();
  expect(outputs).toEqual([-1, -2, -3, -4]);
});
