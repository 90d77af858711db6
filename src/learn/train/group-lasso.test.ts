import { describe, expect, test } from "vitest";
import { data, expectContinued, net, trained } from "../../../test/train/corners.ts";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { evaluate } from "../../runtime/metrics/evaluate.ts";
import { accuracy } from "../../runtime/metrics/metrics.ts";
import { prune } from "../../techniques/prune/index.ts";
import { linear, network, relu } from "../nn/index.ts";
import { groupLasso } from "./group-lasso.ts";
import { train } from "./index.ts";
import { type GroupLasso, groupLassoOf } from "./train-options.ts";

const read = async (model: Model, name: string): Promise<Float32Array> =>
  ((await model.graph.value(name)?.tensor?.read())?.data ?? new Float32Array()) as Float32Array;

test("shrinks the row, the bias and the reading column of a channel by one factor", async () => {
  const model = net();
  const [weight, bias, next] = [
    await read(model, "fc1.weight"),
    await read(model, "fc1.bias"),
    await read(model, "fc2.weight"),
  ];
  bias.fill(0.5);
  bias[1] = 0;
  weight.fill(0, 3, 6);
  for (let row = 0; row < 3; row++) next[row * 8 + 1] = 0;
  const before = [weight, bias, next].map((values) => values.slice());
  const last = Float32Array.of(1, 2, 3);
  groupLasso(
    model,
    [
      { name: "fc1.weight", values: weight },
      { name: "fc1.bias", values: bias },
      { name: "fc2.weight", values: next },
      { name: "fc2.bias", values: last },
    ],
    groupLassoOf(0.1),
  )(0.5, 1);
  expect([...last]).toEqual([1, 2, 3]);
  const [w = weight, b = bias, n = next] = before;
  for (let unit = 0; unit < 8; unit++) {
    const norms = (values: readonly Float32Array[]): readonly number[] => {
      const [rows = w, shifts = b, columns = n] = values;
      return [
        ...rows.subarray(3 * unit, 3 * unit + 3),
        shifts[unit] ?? 0,
        ...[0, 1, 2].map((row) => columns[row * 8 + unit] ?? 0),
      ];
    };
    const norm = Math.hypot(...norms([w, b, n]));
    // The shrunk weight is w · (1 − ηλ √n / ‖w‖) with η = 0.5, λ = 0.1, n = 7, or 0 for a zero weight.
    const factor = norm === 0 ? 0 : Math.max(0, 1 - (0.05 * Math.sqrt(7)) / norm);
    norms([weight, bias, next]).forEach((value, index) => {
      expect(value).toBeCloseTo(factor * (norms([w, b, n])[index] ?? 0), 6);
    });
  }
});

test("shrinks a masked weight only once", async () => {
  const model = net();
  await prune(model, { amount: 0.5, keepMasks: true });
  const weight = await read(model, "fc1.weight_orig");
  const before = weight.slice();
  groupLasso(model, [{ name: "fc1.weight_orig", values: weight }], groupLassoOf(0.01))(1, 1);
  for (let unit = 0; unit < 8; unit++) {
    const row = before.subarray(3 * unit, 3 * unit + 3);
    const factor = 1 - (0.01 * Math.sqrt(3)) / Math.hypot(...row);
    row.forEach((value, index) => {
      expect(weight[3 * unit + index]).toBeCloseTo(factor * value, 6);
    });
  }
});

test("shrinks only the weakest channels by an amount, and less at first if λ grows", async () => {
  const factorsOf = async (settings: Partial<GroupLasso>, progress: number): Promise<number[]> => {
    const model = net();
    const weight = Float32Array.from({ length: 24 }, (_, index) => 1 + Math.floor(index / 3));
    const lasso = { ...groupLassoOf(0.2), ...settings };
    groupLasso(model, [{ name: "fc1.weight", values: weight }], lasso)(0.5, progress);
    return Array.from({ length: 8 }, (_, unit) => (weight[3 * unit] ?? 0) / (1 + unit));
  };
  // For a row whose entries are 1 + unit, 1 − ηλ √n / ‖w‖ = 1 − 0.1 / (1 + unit).
  const expected = Array.from({ length: 8 }, (_, unit) => 1 - 0.1 / (1 + unit));
  const close = (numbers: readonly number[]) => numbers.map((each): unknown => expect.closeTo(each, 6));
  expect(await factorsOf({}, 0.5)).toEqual(close(expected));
  expect(await factorsOf({ amount: 0.25 }, 1)).toEqual(close([...expected.slice(0, 2), 1, 1, 1, 1, 1, 1]));
  expect(await factorsOf({ amount: 0.25, grow: true }, 0.5)).toEqual(close([0.95, 0.975, 1, 1, 1, 1, 1, 1]));
  expect(await factorsOf({ amount: 0.01 }, 1)).toEqual(Array(8).fill(1));
});

test("does not count irremovable channels among the weakest", () => {
  const model = parseModel(`opset 21
graph (input: float32[batch, 3]) -> (y, z) {
  w: float32[3, 8] = random(seed 1)
  v: float32[8, 2] = random(seed 2)
  starts: int64[1] = [0]
  ends: int64[1] = [4]
  axes: int64[1] = [1]
  hidden = MatMul(input, w)
  z = Slice(hidden, starts, ends, axes)
  y = MatMul(hidden, v)
}`);
  const weight = Float32Array.from({ length: 24 }, (_, index) => 1 + (index % 8));
  const lasso = { ...groupLassoOf(0.2), amount: 0.5 };
  groupLasso(model, [{ name: "w", values: weight }], lasso)(0.5, 1);
  // Factors 1 − ηλ √n / ‖w‖ apply to the weaker half of the four removable channels. The others do not change.
  const shrunk = [5 * (1 - 0.1 / 5), 6 * (1 - 0.1 / 6)].map((each): unknown => expect.closeTo(each, 6));
  expect([...weight.subarray(0, 8)]).toEqual([1, 2, 3, 4, ...shrunk, 7, 8]);
});

describe("training with group lasso", () => {
  /** Returns accuracy before and after nine of ten channels are removed, and the number of zero channels. */
  const pruneAfter = async (settings: Pick<Parameters<typeof train>[1], "groupLasso">, amount = 0.9) => {
    const layers = { fc1: linear(3, 32), relu: relu(), fc2: linear(32, 3) };
    const model = network(layers, { input: ["batch", 3], seed: 2 });
    await train(model, { data, epochs: 40, batch: 24, learningRate: 0.01, ...settings }, { seed: 1 });
    const right = async () => (await evaluate(createEngine(), model, data, accuracy())).estimate.value;
    const [before, weight] = [await right(), await read(model, "fc1.weight")];
    const zero = Array.from({ length: 32 }, (_, unit) => weight.subarray(3 * unit, 3 * unit + 3)).filter((row) =>
      row.every((entry) => entry === 0),
    ).length;
    await prune(model, { structured: amount, roundTo: 1 });
    return { before, after: await right(), zero };
  };

  test("drives channels to zero, so that removing 9 of 10 loses less than a fifth", async () => {
    const [dense, sparse] = [await pruneAfter({}), await pruneAfter({ groupLasso: 0.5 })];
    expect(dense.zero).toBe(0);
    expect(sparse.zero).toBeGreaterThanOrEqual(16);
    expect(sparse.before).toBeGreaterThan(dense.before - 0.01);
    expect(sparse.before - sparse.after).toBeLessThan(0.2 * (dense.before - dense.after));
  });

  test("lets the penalized three quarters of the channels be removed without loss", async () => {
    const { zero, before, after } = await pruneAfter({ groupLasso: { strength: 3, amount: 0.75, grow: true } }, 0.75);
    expect(zero).toBe(24);
    expect(after).toBe(before);
    expect(before).toBeGreaterThan(0.9);
  });

  test("resumes with the same bits", async () => {
    await expectContinued({ groupLasso: { strength: 0.05, amount: 0.5, grow: true } });
    await expectContinued({ groupLasso: 0.05, optimizer: "sgd", prune: { amount: 0.5, every: 4 } });
  });

  test("fails if no channel can be removed", async () => {
    const model = parseModel(`opset 21
graph (input: float32[batch, 3]) -> (y) {
  w: float32[3, 3] = random(seed 1)
  y = MatMul(input, w)
}`);
    await expect(train(model, { data, epochs: 1, groupLasso: 0.1 })).rejects.toMatchObject({
      code: "E_OPTION",
      message: "groupLasso: the model has no channels that could be cut.",
    });
    await expect(trained({ groupLasso: 0 })).rejects.toMatchObject({ code: "E_OPTION" });
  });
});
