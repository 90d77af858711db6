/** Recalibration sets the statistics of batch normalization to those of its inputs, one normalization after the other. */
import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { channelMoments } from "../../../src/techniques/calibrate/column-statistics.ts";
import { readFeatures } from "../../../src/techniques/calibrate/features.ts";
import { observe } from "../../../src/techniques/calibrate/observe.ts";
import { recalibrateNorms } from "../../../src/techniques/recover/batch-norm.ts";
import { change, engine, network, numbers, samples, scopeOf } from "./networks.ts";

const norm = (name: string, channels: number) => ({
  [`${name}.scale`]: [channels],
  [`${name}.bias`]: [channels],
  [`${name}.mean`]: [channels],
  [`${name}.variance`]: [channels],
});
const inputs = (name: string): string =>
  ["scale", "bias", "mean", "variance"].map((part) => `${name}.${part}`).join(", ");
const deep = () =>
  network(
    "x: float32[n, 3, 6, 6]",
    "y: float32[n, 2, 4, 4]",
    { "a.weight": [4, 3, 3, 3], ...norm("an", 4), "b.weight": [2, 4, 1, 1], ...norm("bn", 2) },
    `  h = Conv(x, a.weight)\n  g = BatchNormalization(h, ${inputs("an")})\n  r = Relu(g)
  c = Conv(r, b.weight)\n  y = BatchNormalization(c, ${inputs("bn")})`,
  );

test("the outputs of every normalization have its bias as mean and its scale as deviation", async () => {
  const model = deep();
  const data = samples([40, 3, 6, 6]);
  const { changed } = await recalibrateNorms.run(model, await scopeOf(model, model.clone(), data));
  expect(changed).toBe(2);
  const observed = await observe(
    engine,
    model,
    data,
    [
      { name: "g", axis: 1 },
      { name: "y", axis: 1 },
    ],
    channelMoments,
  );
  for (const [value, name] of [
    ["g", "an"],
    ["y", "bn"],
  ] as const) {
    const [scale, bias] = [await numbers(model, `${name}.scale`), await numbers(model, `${name}.bias`)];
    const { mean, variance } = observed.get(value) ?? { mean: [], variance: [] };
    bias.forEach((own, channel) => {
      expect(mean[channel]).toBeCloseTo(own, 4);
      expect(Math.sqrt(variance[channel] ?? 0)).toBeCloseTo(scale[channel] ?? 0, 3);
    });
  }
});

test("restores correct statistics from any wrong ones", async () => {
  const original = deep();
  const data = samples([40, 3, 6, 6]);
  await recalibrateNorms.run(original, await scopeOf(original, original.clone(), data));
  const changed = original.clone();
  for (const name of ["an.mean", "bn.variance"]) await change(changed, name, (one) => 3 * one + 1);
  await recalibrateNorms.run(changed, await scopeOf(changed, original, data));
  for (const name of ["an.mean", "an.variance", "bn.mean", "bn.variance"]) {
    const expected = await numbers(original, name);
    (await numbers(changed, name)).forEach((actual, channel) => {
      expect(actual).toBeCloseTo(expected[channel] ?? 0, 4);
    });
  }
});

test("does nothing without normalizations, and reports normalizations that share statistics", async () => {
  const data = samples([8, 2, 2, 2]);
  const without = network(
    "x: float32[n, 2, 2, 2]",
    "y: float32[n, 2, 2, 2]",
    { "a.weight": [2, 2, 1, 1] },
    "  y = Conv(x, a.weight)",
  );
  expect(await recalibrateNorms.run(without, await scopeOf(without, without, data))).toMatchObject({
    changed: 0,
    misses: [],
  });
  const shared = parseModel(`opset 17
graph (x: float32[n, 2, 2, 2]) -> (y: float32[n, 2, 2, 2]) {
  s: float32[2] = [1, 1]
  b: float32[2] = [0, 0]
  m: float32[2] = [0, 0]
  v: float32[2] = [1, 1]
  h = BatchNormalization(x, s, b, m, v)
  y = BatchNormalization(h, s, b, m, v)
}`);
  const outcome = await recalibrateNorms.run(shared, await scopeOf(shared, shared, data));
  expect(outcome.changed).toBe(0);
  expect(outcome.misses).toHaveLength(2);
});

test("moments do not depend on the batches, and stay accurate for large means", () => {
  const all = float32(
    [6, 2, 2],
    Float32Array.from({ length: 24 }, (_, at) => 4096 + ((at * 7) % 5) / 4),
  );
  const statistic = (parts: readonly number[]) => {
    const collector = channelMoments.begin();
    let start = 0;
    for (const size of parts) {
      collector.add(readFeatures(float32([size, 2, 2], all.data.subarray(4 * start, 4 * (start + size))), { axis: 1 }));
      start += size;
    }
    return collector.end();
  };
  const ofAll = statistic([6]);
  for (const parts of [
    [1, 2, 3],
    [1, 1, 1, 1, 1, 1],
  ]) {
    const { count, mean, variance } = statistic(parts);
    expect(count).toBe(12);
    mean.forEach((own, channel) => {
      expect(own).toBeCloseTo(ofAll.mean[channel] ?? 0, 10);
      expect(variance[channel]).toBeCloseTo(ofAll.variance[channel] ?? 0, 10);
    });
  }
  // Channel 0 has the positions 0, 1, 4, 5, … of all values.
  const offsets = [0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21].map((at) => ((at * 7) % 5) / 4);
  const mean = offsets.reduce((sum, one) => sum + one, 0) / 12;
  expect(ofAll.mean[0]).toBeCloseTo(4096 + mean, 10);
  expect(ofAll.variance[0]).toBeCloseTo(offsets.reduce((sum, one) => sum + (one - mean) ** 2, 0) / 12, 10);
});
