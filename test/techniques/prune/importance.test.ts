/** Tests custom criteria that use only public exports. */

import type { Model } from "pith";
import { float32, toNumbers } from "pith";
import { memory } from "pith/data";
import type { GradientStatistic, Statistic } from "pith/extend";
import { parseModel } from "pith/extend";
import { type Importance, prune } from "pith/prune";
import { describe, expect, test } from "vitest";

/** Computes ‖x‖ of each column. */
const norms: Statistic<Float64Array> = {
  begin() {
    let squares = new Float64Array();
    return {
      add(batch) {
        const { columns, data } = batch.matrix();
        if (squares.length === 0) squares = new Float64Array(columns);
        data.forEach((x, at) => {
          squares[at % columns] = (squares[at % columns] ?? 0) + x * x;
        });
      },
      end: () => squares.map(Math.sqrt),
    };
  },
};

/** |w| · ‖x‖ (Sun et al. 2023). */
const wanda: Importance<Float64Array> = {
  id: "wanda",
  evidence: norms,
  scores: ({ matrices, evidence }) =>
    matrices().map(({ rows, columns, data }, group) => ({
      rows,
      columns,
      data: data.map((w, at) => Math.abs(w) * (evidence[group * columns + (at % columns)] ?? 0)),
    })),
};

const chain = `opset 17
graph (x: float32[n, 3]) -> (y) {
  fc1.weight: float32[2, 3] = [[1, 2, 3], [4, -5, 6]]
  fc2.weight: float32[2, 2] = [[1, 3], [2, 4]]
  h = Gemm(x, fc1.weight) {transB=1}
  r = Relu(h)
  y = MatMul(r, fc2.weight)
}`;
// The columns have norms 5, 0 and 0.1; h is (3.3, 12.6) and (4, 16).
const data = memory("samples", { x: float32([2, 3], [3, 0, 0.1, 4, 0, 0]) });

async function numbers(model: Model, name: string): Promise<number[]> {
  const tensor = model.graph.value(name)?.tensor ?? expect.fail(`there is no tensor ${name}`);
  return toNumbers(await tensor.read());
}

test("a custom criterion selects weights by the inputs of each layer", async () => {
  const net = parseModel(chain);
  const { changes, misses } = await prune(net, { amount: 0.5, importance: wanda, data });
  expect(changes.map(({ at, what }) => `${at}: ${what}`)).toEqual([
    "fc1: 3 of 6 pruned, 3 of 6 left",
    "fc2: 2 of 4 pruned, 2 of 4 left",
  ]);
  expect(misses).toEqual([]);
  expect(await numbers(net, "fc1.weight")).toEqual([1, 0, 0, 4, 0, 6]);
  // The norms are 5.2 and 20.4, so the scores are 5.2, 15.6 and 40.8, 81.6.
  expect(await numbers(net, "fc2.weight")).toEqual([0, 0, 2, 4]);
});

test("a custom criterion ranks the weights of all layers jointly", async () => {
  const net = parseModel(chain);
  await prune(net, { amount: 0.5, scope: "global", importance: wanda, data });
  expect(await numbers(net, "fc1.weight")).toEqual([0, 0, 0, 4, 0, 0]);
  expect(await numbers(net, "fc2.weight")).toEqual([1, 3, 2, 4]);
});

test("excludes masked weights, and prunes the remaining ones further", async () => {
  const net = parseModel(chain);
  for (let round = 0; round < 2; round++)
    await prune(net, { amount: 0.5, layers: "fc1", importance: wanda, data, keepMasks: true });
  // The remaining scores are 5, 20 and 0.6. Half of three rounds to even, so two are removed.
  expect(await numbers(net, "fc1.weight_mask")).toEqual([0, 0, 0, 1, 0, 0]);
});

test("passes the matrices and statistics of each group of a convolution", async () => {
  const net = parseModel(`opset 17
graph (x: float32[n, 2, 2]) -> (y) {
  conv.weight: float32[2, 1, 2] = [[[1, 2]], [[3, 4]]]
  y = Conv(x, conv.weight) {group=2}
}`);
  const places = memory("places", { x: float32([1, 2, 2], [10, 1, 0, 2]) });
  await prune(net, { amount: 0.5, importance: wanda, data: places });
  // The scores are 10, 2 and 0, 8.
  expect(await numbers(net, "conv.weight")).toEqual([1, 0, 0, 4]);
});

test("channels are ranked by the norm of their entries' scores", async () => {
  const text = `opset 17
graph (x: float32[n, 2]) -> (y) {
  fc1.weight: float32[3, 2] = [[1, 9], [2, 0], [3, 1]]
  fc2.weight: float32[3, 1] = [[1], [2], [3]]
  h = Gemm(x, fc1.weight) {transB=1}
  y = MatMul(h, fc2.weight)
}`;
  const pruneAndRead = async (importance: "magnitude" | Importance<Float64Array>): Promise<number[]> => {
    const net = parseModel(text);
    const samples = memory("samples", { x: float32([1, 2], [1, 0]) });
    await prune(net, { structured: 0.34, importance, data: samples });
    return numbers(net, "fc2.weight");
  };
  expect(await pruneAndRead("magnitude")).toEqual([1, 3]);
  expect(await pruneAndRead(wanda)).toEqual([2, 3]);
});

test("random scores depend on the seed and on the layer", async () => {
  const draw = async (seed: number): Promise<readonly number[]> => {
    const net = parseModel(`opset 17
graph (x: float32[n, 16]) -> (y) {
  a.weight: float32[16, 16] = random(seed 1)
  b.weight: float32[16, 16] = random(seed 1)
  h = MatMul(x, a.weight)
  y = MatMul(h, b.weight)
}`);
    await prune(net, { amount: 0.5, importance: "random" }, { seed });
    return [...(await numbers(net, "a.weight")), ...(await numbers(net, "b.weight"))].map((w) => Number(w !== 0));
  };
  const first = await draw(1);
  expect(first).toEqual(await draw(1));
  expect(first).not.toEqual(await draw(2));
  expect(first.slice(0, 256)).not.toEqual(first.slice(256));
  expect(first.slice(0, 256).filter(Boolean)).toHaveLength(128);
});

test("skips layers without statistics, with the reason", async () => {
  const net = parseModel(`opset 17
graph (ids: int64[n, 2]) -> (y) {
  table: float32[3, 2] = [[1, 2], [3, 4], [5, 6]]
  turned: float32[2, 2] = [[1, 2], [3, 4]]
  h = Gather "table" (table, ids)
  w = Transpose(turned)
  y = MatMul "fc" (h, w)
}`);
  const ids = memory("ids", { ids: { type: "int64", dims: [1, 2], data: BigInt64Array.of(0n, 1n) } });
  const { changes, misses } = await prune(net, { amount: 0.5, importance: wanda, data: ids });
  expect(changes).toEqual([]);
  expect(misses.map(({ reason }) => reason)).toEqual([
    "it is an embedding lookup, without a matrix product",
    "its weight is computed: `simplify` can store it",
  ]);
});

test.each([
  ["missing samples", { importance: wanda }, /"data": the importance "wanda" needs samples/],
  ["an unknown name", { importance: "wander" }, /"importance": is "magnitude", "random", "wanda", /],
  [
    "a wrong number of scores",
    { importance: { id: "few", scores: () => Float64Array.of(1) } },
    /The importance "few": expected a score for each weight of layer "fc1", got 1 scores for 6 weights/,
  ],
  [
    "a missing result",
    { importance: { id: "no", scores: () => {} } },
    /The importance "no": .*got neither a Float64Array nor a list of matrices/,
  ],
  [
    "NaN",
    { importance: { id: "none", scores: ({ values }: { values: Float32Array }) => values.map(() => Number.NaN) } },
    /The importance "none": expected a score for each weight of layer "fc1", got NaN/,
  ],
])("rejects %s, and does not change the model", async (_, options, message) => {
  const net = parseModel(chain);
  await expect(prune(net, { amount: 0.5, ...options } as never)).rejects.toMatchObject({
    code: "E_OPTION",
    message: expect.stringMatching(message),
  });
  expect(await numbers(net, "fc1.weight")).toEqual([1, 2, 3, 4, -5, 6]);
});

describe("custom gradient criteria", () => {
  /** Sums n · g over batches, which is the sum of all gradients. */
  const sums = (each?: "sample", of = (g: number): number => g): GradientStatistic<Float64Array> => ({
    of: "gradients",
    ...(each === undefined ? {} : { each }),
    begin() {
      let sum = new Float64Array();
      return {
        add(gradient, count) {
          if (sum.length === 0) sum = new Float64Array(gradient.length);
          gradient.forEach((g, at) => {
            sum[at] = (sum[at] ?? 0) + count * of(g);
          });
        },
        end: () => sum,
      };
    },
  });
  const seen = new Map<string, number[]>();
  /** |g · w| (SNIP, Lee et al. 2019), and w² Σ gᵢ² / 2 (optimal brain damage with the empirical Fisher information). */
  const snip: Importance<Float64Array> = {
    id: "snip",
    evidence: sums(),
    scores({ layer, values, evidence }) {
      seen.set(layer.name, [...evidence]);
      return values.map((w, at) => w * (evidence[at] ?? 0));
    },
  };
  const fisher: Importance<Float64Array> = { ...snip, id: "fisher", evidence: sums("sample", (g) => g * g) };
  const squared = `opset 21
graph (x: float32[batch, 2]) -> (y) {
  w: float32[2, 2] = [[1, 2], [3, 4]]
  y = MatMul "fc" (x, w)
}`;
  const samples = memory("two", { x: float32([2, 2], [1, -1, 0.5, 2]), label: float32([2, 2], [0, 0, 1, 1]) });

  test("receive gradients of the loss, of batches or of single samples", async () => {
    // The gradients of the squared error are -2, -2, 2, 2 and 2.75, 4, 11, 16. A batch of both samples has their mean.
    const net = parseModel(squared);
    await prune(net, { amount: 0.25, importance: snip, data: samples, loss: "mse" });
    expect(seen.get("fc")).toEqual([0.75, 2, 13, 18]);
    // The scores are 0.75, 4, 39 and 72.
    expect(await numbers(net, "w")).toEqual([0, 2, 3, 4]);
    const other = parseModel(squared);
    await prune(other, { amount: 0.5, importance: fisher, data: samples, loss: "mse" });
    expect(seen.get("fc")).toEqual([4 + 2.75 ** 2, 4 + 16, 4 + 121, 4 + 256]);
    expect(await numbers(other, "w")).toEqual([0, 0, 3, 4]);
  });

  test("rank channels", async () => {
    const net = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y) {
  a: float32[2, 3] = [[1, 5, 1], [1, 5, 1]]
  b: float32[3, 1] = [[1], [0], [2]]
  h = MatMul "first" (x, a)
  y = MatMul "second" (h, b)
}`);
    const data = memory("two", { x: float32([2, 2], [1, 2, 2, 1]), label: float32([2, 1], [0, 0]) });
    // The next layer ignores the channel with the largest weights.
    await prune(net, { structured: 0.34, importance: snip, data, loss: "mse" });
    expect(await numbers(net, "b")).toEqual([1, 2]);
  });

  test("require labeled samples and a loss that fits them", async () => {
    const net = parseModel(squared);
    await expect(prune(net, { amount: 0.5, importance: snip })).rejects.toThrow(
      /criterion "snip" requires labeled samples/,
    );
    const unlabelled = memory("two", { x: float32([2, 2], [1, -1, 0.5, 2]) });
    await expect(prune(net, { amount: 0.5, importance: snip, data: unlabelled, loss: "mse" })).rejects.toMatchObject({
      code: "E_DATA",
    });
    await expect(prune(net, { amount: 0.5, importance: snip, data: samples, loss: "hubris" })).rejects.toThrow(/loss/);
    expect(await numbers(net, "w")).toEqual([1, 2, 3, 4]);
  });

  test("skip a layer without a gradient, with the reason", async () => {
    const net = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y, other) {
  w: float32[2, 2] = [[1, 2], [3, 4]]
  v: float32[2, 2] = [[1, 2], [3, 4]]
  y = MatMul "fc" (x, w)
  other = MatMul "side" (x, v)
}`);
    const { changes, misses } = await prune(net, {
      amount: 0.25,
      importance: snip,
      data: samples,
      loss: "mse(output=y)",
    });
    expect(changes.map(({ at }) => at)).toEqual(["fc"]);
    expect(misses.map(({ at, reason }) => [at, reason])).toEqual([
      ["side", "the loss has no gradient with respect to its weight"],
    ]);
  });
});
