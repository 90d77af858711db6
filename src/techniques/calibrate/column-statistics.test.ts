import { expect, test } from "vitest";
import { float32 } from "../../core/tensor/dense.ts";
import { pairedSums } from "./column-statistics.ts";
import { readFeatures } from "./features.ts";

test.each([2, 4])("means of large images contain all phases of an image enlarged %i times", (factor) => {
  const size = 64;
  const pixels = Float32Array.from({ length: size * size }, (_, index) => {
    const [row, column] = [Math.floor(index / size), index % size];
    return Number(row % factor === 0) + 10 * Number(column % factor === 0);
  });
  const features = readFeatures(float32([1, 1, size, size], pixels), { axis: 1, rank: 4 });
  const sums = pairedSums.begin();
  sums.add(features, features);
  const { count, x, y } = sums.end();
  expect((x[0] ?? 0) / count).toBeCloseTo(11 / factor, 1);
  expect(y).toEqual(x);
});
