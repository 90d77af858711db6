/** Parts of models that take one sample at a time, and of transformers on texts of several lengths, trained by themselves. */
import { expect, test } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import type { IndexedDataset } from "../../../src/data/batches/dataset.ts";
import { blockWise } from "../../../src/techniques/recover/block-wise.ts";
import { chain, data, figure, spoiled, unseen } from "./chain.ts";
import { change, network, scopeOf } from "./networks.ts";

const stage = blockWise({ batch: 16, learningRate: 0.003 });

test("trains a model that accepts only one sample at a time", async () => {
  const original = chain("1");
  const changed = await spoiled(original);
  const before = await figure(changed, original, unseen);
  const { what, misses } = await stage.run(changed, await scopeOf(changed, original, data));
  expect([what, misses]).toEqual(["3 blocks", []]);
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

test("trains on texts of several lengths, with masks and sizes computed in each block", async () => {
  const original = attention();
  const changed = original.clone();
  await change(changed, "l0.v.weight", (one, at) => (at % 3 === 0 ? 0 : one));
  await change(changed, "l1.o.weight", (one) => Math.round(4 * one) / 4);
  const before = await figure(changed, original, texts);
  const { what, misses } = await stage.run(changed, await scopeOf(changed, original, texts));
  expect([what, misses]).toEqual(["2 blocks", []]);
  expect(await figure(changed, original, texts)).toBeGreaterThan(before + 3);
});
