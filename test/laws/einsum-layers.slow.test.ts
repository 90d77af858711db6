/** Einsum layers: the techniques handle their weights with any axes, and the results match the runtime. */
import { describe, expect, test } from "vitest";
import { inspect } from "../../src/app/report/inspect/inspect.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { type Layer, layers } from "../../src/core/analysis/layers.ts";
import { weightMatrices } from "../../src/core/analysis/weight-matrix.ts";
import { Miss } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { type Matrix, multiplyInJs, transpose } from "../../src/core/math/matrix.ts";
import { toFloat64 } from "../../src/core/tensor/convert.ts";
import type { IndexedDataset } from "../../src/data/batches/dataset.ts";
import { range, view } from "../../src/data/batches/indexed.ts";
import { calibrate } from "../../src/techniques/calibrate/calibration.ts";
import type { Features } from "../../src/techniques/calibrate/features.ts";
import type { Statistic } from "../../src/techniques/calibrate/statistic.ts";
import { factorize } from "../../src/techniques/factorize/index.ts";
import { prune, remove } from "../../src/techniques/prune/index.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { recover } from "../../src/techniques/recover/index.ts";
import { value } from "../find.ts";
import { apart, change, engine, network, numbers, samples } from "../techniques/recover/networks.ts";

interface Form {
  readonly model: Model;
  readonly data: IndexedDataset;
  readonly outputs: number;
  readonly inputs: number;
}

/** Builds a model of one layer. The dimensions of data and output exclude the samples. */
function form(
  equation: string,
  x: readonly number[],
  w: readonly number[],
  y: readonly number[],
  [outputs, inputs]: readonly [number, number],
): Form {
  const operands = equation.startsWith("df,") ? "w, x" : "x, w";
  return {
    model: network(
      `x: float32[n, ${x}]`,
      `y: float32[n, ${y}]`,
      { w },
      `  y = Einsum "own" (${operands}) {equation="${equation}"}`,
    ),
    data: samples([96, ...x]),
    outputs,
    inputs,
  };
}

const matrices = {
  "to heads": () => form("bsd,dhk->bshk", [3, 6], [6, 2, 4], [3, 2, 4], [2, 6]),
  "from heads": () => form("bshk,hkd->bsd", [3, 2, 4], [2, 4, 6], [3, 6], [6, 2]),
  "of rows": () => form("bsd,df->bsf", [3, 6], [6, 8], [3, 8], [8, 6]),
  "with the weight in front": () => form("df,bsd->bsf", [3, 6], [6, 8], [3, 8], [8, 6]),
  "that permutes": () => form("bsd,df->bfs", [3, 6], [6, 8], [8, 3], [8, 6]),
};
const forms = {
  ...matrices,
  "to heads that lie apart": () => form("bsd,dhk->bhsk", [3, 6], [6, 2, 4], [2, 3, 4], [2, 6]),
  "of experts": () => form("becd,edf->becf", [2, 3, 4], [2, 4, 5], [2, 3, 5], [5, 4]),
};

function only(model: Model): Layer {
  const [layer, ...more] = layers(model, infer(model));
  if (layer === undefined || more.length > 0) throw new Error("not one layer");
  return layer;
}

describe.each(Object.entries(forms))("an Einsum %s", (_, make) => {
  test("is listed with its channels", async () => {
    const { model, outputs, inputs } = make();
    const [layer] = (await inspect(model)).layers;
    expect(layer).toMatchObject({ name: "own", operator: "Einsum", outputs, inputs });
  });

  test("is pruned: the smallest half of its weight is zero, and nothing else changes", async () => {
    const { model, data } = make();
    const before = await numbers(model, "w");
    const least = [...before].map(Math.abs).sort((a, b) => a - b)[before.length / 2] ?? 0;
    const expected = model.clone();
    await change(expected, "w", (one) => (Math.abs(one) < least ? 0 : one));
    const { changes, misses } = await prune(model, { amount: 0.5, keepMasks: true });
    expect([changes.length, misses]).toEqual([1, []]);
    await remove(model);
    expect(verify(model)).toEqual([]);
    expect(await numbers(model, "w")).toEqual(await numbers(expected, "w"));
    expect(await apart(expected, model, data)).toBeLessThan(1e-6);
  });

  test("computes the same outputs within a hundredth with 8-bit weights", async () => {
    const { model, data } = make();
    const original = model.clone();
    const { changes, misses } = await quantize(model, { scheme: "weights" });
    expect([changes.length, misses]).toEqual([1, []]);
    expect(verify(model)).toEqual([]);
    expect(only(model).weight.type?.type).toBe("int8");
    const difference = await apart(original, model, data);
    expect(difference).toBeGreaterThan(0);
    expect(difference).toBeLessThan(0.01);
  });
});

/** Collects the first batch of a layer's inputs. */
const firstRows: Statistic<Matrix | undefined> = {
  begin() {
    let first: Matrix | undefined;
    const add = (batch: Features): void => {
      first ??= batch.matrix();
    };
    return { add, end: () => first };
  },
};

describe.each(Object.entries(matrices))("an Einsum %s as one matrix product", (name, make) => {
  test("computes the product of its inputs and its matrix", async () => {
    const { model, data } = make();
    const { role } = only(model);
    const few = view(data, "few", range(4));
    const seen = await calibrate(model, { data: few });
    const rows = await seen.collect(only(model), firstRows);
    await seen.release();
    const [weight] = weightMatrices(role, value(model, "w").tensor?.dims ?? [], await numbers(model, "w"));
    if (rows === undefined || rows instanceof Miss || weight === undefined) throw new Error("it has no matrices");
    const session = await engine.load(model);
    const { y } = await session.run(await few.gather(Uint32Array.of(0, 1, 2, 3)));
    await session.release();
    if (y === undefined) throw new Error("no y");
    const [expected, product] = [[...toFloat64(y)], [...(await multiplyInJs(rows, transpose(weight))).data]];
    // Rows are (samples, positions), columns are outputs; the permuting layer has the outputs first.
    const place = (at: number): number =>
      name === "that permutes" ? Math.floor(at / 24) * 24 + (at % 3) * 8 + (Math.floor(at / 3) % 8) : at;
    expect(product).toHaveLength(expected.length);
    for (const [at, output] of expected.entries()) expect(product[place(at)]).toBeCloseTo(output, 4);
  });

  test("has its weight restored by least squares", async () => {
    const { model, data } = make();
    const original = model.clone();
    await change(model, "w", (one, index) => one * (1 + (index % 3)) + 0.5);
    expect(await apart(original, model, data)).toBeGreaterThan(0.1);
    const { misses } = await recover(model, { original, data, until: "least-squares" });
    expect(misses.filter(({ at }) => at === "own")).toEqual([]);
    expect(await apart(original, model, data)).toBeLessThan(1e-3);
  });
});

test("low rank splits a matrix into two, in the axis order of the Einsum", async () => {
  const { model, data } = matrices["that permutes"]();
  const original = model.clone();
  const { changes, misses } = await factorize(model, { rank: 3 });
  expect([changes.length, misses]).toEqual([1, []]);
  expect(verify(model)).toEqual([]);
  const least = model.clone();
  expect(await apart(original, least, data)).toBeLessThan(1);
  await recover(model, { original, data, until: "least-squares" });
  expect(await apart(original, model, data)).toBeLessThanOrEqual(await apart(original, least, data));
});

const attention = (): Model =>
  network(
    "x: float32[n, 3, 6]",
    "y: float32[n, 3, 6]",
    { "q.weight": [6, 4, 2], "k.weight": [6, 4, 2], "v.weight": [6, 4, 2], "o.weight": [4, 2, 6] },
    `  q = Einsum(x, q.weight) {equation="bsd,dhk->bshk"}
  k = Einsum(x, k.weight) {equation="bsd,dhk->bshk"}
  v = Einsum(x, v.weight) {equation="bsd,dhk->bshk"}
  a = Einsum(q, k) {equation="bqhk,bshk->bhqs"}
  p = Softmax(a) {axis=-1}
  z = Einsum(p, v) {equation="bhqs,bshk->bqhk"}
  y = Einsum(z, o.weight) {equation="bqhk,hkd->bqd"}`,
  );

test("pruning removes attention heads with their consumers", async () => {
  const zeroed = attention();
  // Two heads with zero weights have the lowest norm.
  for (const name of ["q.weight", "k.weight", "v.weight"])
    await change(zeroed, name, (one, at) => (Math.floor(at / 2) % 4 < 2 ? 0 : one));
  const cut = zeroed.clone();
  await prune(cut, { amount: 0.5, structured: true });
  expect(verify(cut)).toEqual([]);
  expect(layers(cut, infer(cut)).map(({ effective }) => effective.tensor?.dims)).toEqual([
    [6, 2, 2],
    [6, 2, 2],
    [6, 2, 2],
    [2, 2, 6],
  ]);
  expect(await apart(zeroed, cut, samples([16, 3, 6]))).toBeLessThan(1e-5);
});

test("recovery fits the remaining attention heads to those of the original", async () => {
  const [original, cut, data] = [attention(), attention(), samples([96, 3, 6])];
  await prune(cut, { structured: 0.5 });
  const before = await apart(original, cut, data);
  const { changes, misses } = await recover(cut, { original, data, until: "least-squares" });
  expect(changes.map(({ at }) => at)).toEqual(["least-squares"]);
  expect(misses.filter(({ at }) => at !== "bias")).toEqual([]);
  expect(await apart(original, cut, data)).toBeLessThan(before);
});
