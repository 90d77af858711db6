/** Compares activation ranges that clip rare values with the same method on all values at once. */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { histogram } from "../../../src/techniques/calibrate/histogram.ts";
import { observe } from "../../../src/techniques/calibrate/observe.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { clippedRanges } from "../../../src/techniques/quantize/ranges.ts";
import { numbersFor, stored } from "./networks.ts";

const model = () =>
  parseModel(`opset 17
graph (x: float32[n, 8]) -> (y: float32[n, 4]) {
  w: float32[8, 4] = random(seed 1)
  y = MatMul "fc" (x, w)
}`);

/** Returns normally distributed values with one outlier. */
function withOutlier(count: number, outlier = 50) {
  const { data } = numbersFor([count, 8]);
  data[5] = outlier;
  return float32([count, 8], data);
}

const x = withOutlier(4000);
const values = toNumbers(x);
const range = { min: Math.min(...values), max: Math.max(...values) };
const seen = async () => {
  const histograms = await observe(createEngine(), model(), memory("x", { x }), ["x"], histogram);
  const inputHistogram = histograms.get("x");
  if (inputHistogram === undefined) throw new Error("nothing was seen");
  return inputHistogram;
};

test("a histogram over batches counts every value once", async () => {
  const { counts, min, max, start, width, zeros } = await seen();
  const expected = new Float64Array(counts.length);
  for (const value of values) {
    const at = Math.floor((value - start) / width);
    expected[at] = (expected[at] ?? 0) + 1;
  }
  expect({ min, max, start, zeros }).toEqual({ ...range, start: -64, zeros: 0 });
  expect(counts).toEqual(expected);
});

test("a histogram has only a range if a value is not finite, and counts zeros", async () => {
  const computeHistogram = async (...batches: readonly number[][]) => {
    const x = batches.map((numbers) => memory("x", { x: float32([1, 8], numbers) }));
    const running = histogram.begin();
    for (const batch of x) {
      const add = { ...histogram, begin: () => ({ ...running, end: () => undefined }) };
      await observe(createEngine(), model(), batch, ["x"], add);
    }
    return running.end();
  };
  const zeros = await computeHistogram([0, 0, 0, 0, 0, 0, 0, 0]);
  expect([zeros.min, zeros.max, zeros.zeros]).toEqual([0, 0, 8]);
  const wide = await computeHistogram([0, 1e-30, 0, 0, 0, 0, 0, -1e-30], [1e30, 3, 2, 1, -1, -2, -3, 4]);
  expect([wide.start, wide.zeros]).toEqual([-(2 ** 100), 6]);
  expect([...wide.counts.entries()].filter(([, count]) => count > 0)).toEqual(
    [
      [4095, 4],
      [4096, 11],
      [7328, 1],
    ].map(([at = 0, count]) => [at === 7328 ? Math.floor((1e30 / 2 ** 101) * 8192 + 4096) : at, count]),
  );
  const broken = await computeHistogram([1, Number.NaN, 0, 0, 0, 0, 0, 0], [2, 3, 4, 5, 6, 7, 8, 9]);
  expect(broken.max).toBeNaN();
  expect((await computeHistogram([1, Number.NEGATIVE_INFINITY, 0, 0, 0, 0, 0, 0])).min).toBe(Number.NEGATIVE_INFINITY);
});

describe("an outlier", () => {
  test("is clipped by a percentile of the sorted values", async () => {
    const many = Float64Array.from({ length: 400_000 }, (_, at) => (at === 7 ? 50 : Math.sin(at) * 3));
    const counts = new Float64Array(2048);
    const width = 53 / 2048;
    for (const value of many) {
      const part = Math.min(2047, Math.floor((value + 3) / width));
      counts[part] = (counts[part] ?? 0) + 1;
    }
    const sorted = many.toSorted();
    const cut = Math.floor((many.length * 1e-5) / 2);
    const clippedRange = clippedRanges.percentile({ min: -3, max: 50, counts, start: -3, width, zeros: 0 });
    expect(Math.abs(clippedRange.max - (sorted[many.length - 1 - cut] ?? 0))).toBeLessThan(width * 1.01);
    expect(Math.abs(clippedRange.min - (sorted[cut] ?? 0))).toBeLessThan(width * 1.01);
  });

  test("is clipped so that the squared error of 8 bits is minimal", async () => {
    const clippedRange = clippedRanges.mse(await seen());
    const errorOf = (low: number, high: number): number => {
      const step = (high - low) / 255;
      return values.reduce(
        (sum, value) => sum + (value - Math.round(Math.min(high, Math.max(low, value)) / step) * step) ** 2,
        0,
      );
    };
    const error = errorOf(clippedRange.min, clippedRange.max);
    const shares = Array.from({ length: 91 }, (_, at) => (10 + at) / 100);
    const least = Math.min(...shares.map((share) => errorOf(range.min * share, range.max * share)));
    expect(error).toBeLessThan(1.02 * least);
    expect(error).toBeLessThanOrEqual(errorOf(range.min, range.max));
  });
});

test.each(["percentile", "mse"] as const)("quantize with the ranges %s has smaller scales", async (ranges) => {
  const scaleWith = async (how: typeof ranges | "min-max"): Promise<number> => {
    const quantizedModel = model();
    await quantize(quantizedModel, {
      scheme: "static",
      ranges: how,
      data: memory("x", { x: withOutlier(40_000) }),
      samples: 40_000,
    });
    return toNumbers(await stored(quantizedModel, "x_scale"))[0] ?? 0;
  };
  expect(await scaleWith(ranges)).toBeLessThan(0.95 * (await scaleWith("min-max")));
});
