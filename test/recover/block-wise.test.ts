/** Parts of a network that are trained by themselves answer as those of the original do. */
import { expect, test } from "vitest";
import { openStorage, type Storage } from "../../src/data/store.ts";
import type { IndexedDataset } from "../../src/data/types.ts";
import { PithError } from "../../src/errors.ts";
import { evaluate, signalToNoise } from "../../src/evaluate/index.ts";
import type { Model } from "../../src/graph/model.ts";
import { type ScratchFile, scratchFile } from "../../src/platform/node.ts";
import { prune } from "../../src/prune/index.ts";
import { blockWise } from "../../src/recover/block-wise.ts";
import { change, engine, network, numbers, samples, scopeOf } from "./networks.ts";

const stage = blockWise({ batch: 16, learningRate: 0.003 });

/** Six layers in a chain: two parts. */
const chain = (batch: "n" | "1" = "n"): Model => {
  const names = ["a", "b", "c", "d", "e", "f"];
  const weights = names.flatMap((name, at) => [
    [`${name}.weight`, [at === 5 ? 4 : 12, at === 0 ? 6 : 12]] as const,
    [`${name}.bias`, [at === 5 ? 4 : 12]] as const,
  ]);
  const nodes = names.map((name, at) => {
    const [from, to] = [at === 0 ? "x" : `r${at}`, at === 5 ? "y" : `h${at + 1}`];
    const relu = at === 5 ? "" : `\n  r${at + 1} = Relu(h${at + 1})`;
    return `  ${to} = Gemm(${from}, ${name}.weight, ${name}.bias) {transB=1}${relu}`;
  });
  return network(`x: float32[${batch}, 6]`, `y: float32[${batch}, 4]`, Object.fromEntries(weights), nodes.join("\n"));
};
const data = samples([192, 6]);
const unseen = samples([64, 6], 2);
const spoiled = async (original: Model): Promise<Model> => {
  const changed = original.clone();
  await change(changed, "a.weight", (one, at) => (at % 4 === 0 ? 0 : one));
  await change(changed, "d.bias", (one) => one + 0.2);
  return changed;
};
const figure = async (model: Model, original: Model, data: IndexedDataset): Promise<number> =>
  (await evaluate(engine, model, data, signalToNoise(), { original })).estimate.value;

test("the answers come nearer, without labels, and the edits made to a copy make the same model", async () => {
  const original = chain();
  const changed = await spoiled(original);
  const trial = changed.clone();
  const before = await figure(trial, original, unseen);
  const { edits, what, misses } = await stage.run(trial, await scopeOf(changed, original, data));
  expect([what, misses]).toEqual(["2 blocks", []]);
  expect(await figure(trial, original, unseen)).toBeGreaterThan(before + 3);
  for (const edit of edits) await edit(changed);
  expect(await figure(changed, original, unseen)).toBe(await figure(trial, original, unseen));
});

test("a model that takes one sample at a time is trained as any", async () => {
  const original = chain("1");
  const changed = await spoiled(original);
  const before = await figure(changed, original, unseen);
  const { what, misses } = await stage.run(changed, await scopeOf(changed, original, data));
  expect([what, misses]).toEqual(["2 blocks", []]);
  expect(await figure(changed, original, unseen)).toBeGreaterThan(before + 3);
});

test("where channels were cut, of the original's those count that are left", async () => {
  const original = chain();
  const changed = original.clone();
  await prune(changed, { amount: 0.3, structured: true });
  const before = await figure(changed, original, unseen);
  const { what, misses } = await stage.run(changed, await scopeOf(changed, original, data));
  expect([what, misses]).toEqual(["2 blocks", []]);
  expect(await figure(changed, original, unseen)).toBeGreaterThan(before + 3);
});

/** Two layers of attention, with a mask from the tokens and sizes from the data, as exporters write them. */
function attention(): Model {
  const weights: Record<string, readonly number[]> = {
    "tokens.weight": [20, 8],
    "head.weight": [8, 3],
    "head.bias": [3],
  };
  for (const layer of ["l0", "l1"])
    for (const part of ["q", "k", "v", "o"]) weights[`${layer}.${part}.weight`] = [8, 8];
  const layer = (name: string, from: string, to: string): string => `
  ${name}q = MatMul(${from}, ${name}.q.weight)\n  ${name}k = MatMul(${from}, ${name}.k.weight)
  ${name}qs = Reshape(${name}q, heads)\n  ${name}ks = Reshape(${name}k, heads)
  ${name}kt = Transpose(${name}ks) {perm=[0, 2, 1]}\n  ${name}s = MatMul(${name}qs, ${name}kt)\n  ${name}m = Add(${name}s, bias)
  ${name}a = Softmax(${name}m)\n  ${name}v = MatMul(${from}, ${name}.v.weight)\n  ${name}c = MatMul(${name}a, ${name}v)
  ${name}o = MatMul(${name}c, ${name}.o.weight)\n  ${to} = Add(${from}, ${name}o)`;
  return network(
    "ids: int64[n, t], mask: int64[n, t]",
    "y: float32[n, t, 3]",
    weights,
    `  size = Shape(ids)\n  width: int64[1] = [8]\n  heads = Concat(size, width) {axis=0}
  one: float32[] = 1\n  far: float32[] = -100\n  axis: int64[1] = [1]\n  shown = Cast(mask) {to=1}\n  hidden = Sub(one, shown)
  flat = Mul(hidden, far)\n  bias = Unsqueeze(flat, axis)\n  x = Gather(tokens.weight, ids)
${layer("l0", "x", "x1")}\n${layer("l1", "x1", "x2")}
  h = MatMul(x2, head.weight)\n  y = Add(h, head.bias)`,
  );
}

/** Texts of 4 to 7 tokens, each batch of 16 filled up to a length of its own. */
const texts: IndexedDataset = {
  name: "texts",
  count: 128,
  gather: (positions) => {
    const length = 4 + (Math.floor((positions[0] ?? 0) / 16) % 4);
    const cells = Array.from(positions).flatMap((at) => Array.from({ length }, (_, place) => [at, place] as const));
    const numbers = (of: (at: number, place: number) => number) =>
      ({
        type: "int64",
        dims: [positions.length, length],
        data: BigInt64Array.from(cells.map(([at, place]) => BigInt(of(at, place)))),
      }) as const;
    return {
      ids: numbers((at, place) => (at * 7 + place * 3) % 20),
      mask: numbers((at, place) => (place > at % 3 ? 1 : 0)),
    };
  },
  async *batches({ size }) {
    for (let start = 0; start < 128; start += size)
      yield texts.gather(Uint32Array.from({ length: Math.min(size, 128 - start) }, (_, at) => start + at));
  },
};

test("texts of several lengths: masks and sizes are computed in each part, batches stay as they came", async () => {
  const original = attention();
  const changed = original.clone();
  await change(changed, "l0.v.weight", (one, at) => (at % 3 === 0 ? 0 : one));
  await change(changed, "l1.o.weight", (one) => Math.round(4 * one) / 4);
  const before = await figure(changed, original, texts);
  const { what, misses } = await stage.run(changed, await scopeOf(changed, original, texts));
  expect([what, misses]).toEqual(["2 blocks", []]);
  expect(await figure(changed, original, texts)).toBeGreaterThan(before + 3);
});

test("with what does not fit in memory on disk the weights are the same, to the bit, and each file is closed", async () => {
  const original = chain();
  const changed = await spoiled(original);
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
    return Promise.all(["a.weight", "d.weight", "f.bias"].map((name) => numbers(trial, name)));
  };
  const inMemory = await weights(openStorage());
  expect(await weights(openStorage({ memory: 20_000, file }))).toEqual(inMemory);
  expect(inMemory[0]).not.toEqual(await numbers(changed, "a.weight"));
  expect(counts.opened).toBeGreaterThan(2);
  expect(counts.closed).toBe(counts.opened);
});

test("a disk that is full ends the stage with a sentence; what was kept is given back", async () => {
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
  // Room for the samples of both models, and no more.
  const storage = openStorage({ memory: 10_000, file });
  await expect(stage.run(changed.clone(), await scopeOf(changed, original, data, storage))).rejects.toBe(full);
  await storage.release();
  expect(closed).toBeGreaterThan(0);
});

test("parts that answer as the original's stay as they are", async () => {
  const original = chain();
  const { edits } = await stage.run(original.clone(), await scopeOf(original, original, data));
  expect(edits).toEqual([]);
});

test("parts that answer in other dimensions, or beside samples, are left, with the reason", async () => {
  const original = chain();
  const other = network("x: float32[n, 6]", "y: float32[n, 5]", { "w.weight": [6, 5] }, "  y = MatMul(x, w.weight)");
  const { edits, misses } = await stage.run(other, await scopeOf(other, original, data));
  expect(edits).toEqual([]);
  expect(misses.map(({ reason }) => reason)).toEqual([expect.stringContaining("other dimensions")]);
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
  const told = await stage.run(changed, await scopeOf(changed, summed(), rows));
  expect(told.misses.map(({ reason }) => reason)).toEqual([expect.stringContaining("not counted by samples")]);
});
