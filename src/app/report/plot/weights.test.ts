import { describe, expect, test } from "vitest";
import { infer } from "../../../core/analysis/infer.ts";
import { layers } from "../../../core/analysis/layers.ts";
import { Miss } from "../../../core/errors.ts";
import { parseModel } from "../../../core/graph/text.ts";
import { random } from "../../../core/tensor/random.ts";
import { curveSteps, pictureOf, type WeightPicture, weightPicture } from "./weights.ts";

const normal = (count: number, seed: number): Float32Array => {
  const numbers = random(seed, "test");
  return Float32Array.from({ length: count }, () => numbers.normal());
};

/** Entries that the curves say go at a step, over all cells. */
const goneAt = ({ curves, heat }: WeightPicture, step: number, sizes: readonly number[]): number =>
  heat.reduce((sum, _, cell) => sum + ((curves[cell * (curveSteps + 1) + step] ?? 0) / 255) * (sizes[cell] ?? 0), 0);

test("what goes in all cells together is what the amount says", () => {
  const picture = pictureOf(normal(24 * 30, 1), undefined, [24, 30], 0);
  expect(picture).toMatchObject({ entries: 720 });
  expect(picture.heat).toHaveLength(24);
  for (let step = 0; step <= curveSteps; step++) {
    const expected = (step / curveSteps) * 720;
    expect(goneAt(picture, step, new Array(24).fill(30))).toBeCloseTo(expected, -0.5);
  }
});

test("a cell's share is counted over its own channels, whichever axis they lie on", () => {
  // Channels along axis 1: the second one is ten times as large.
  const values = Float32Array.from([1, 10, 2, 20, 3, 30, 4, 40]);
  const picture = pictureOf(values, undefined, [4, 2], 1);
  const share = (cell: number, step: number): number => (picture.curves[cell * (curveSteps + 1) + step] ?? 0) / 255;
  expect([share(0, 10), share(1, 10)]).toEqual([1, 0]);
  expect([share(0, 20), share(1, 20)]).toEqual([1, 1]);
  expect([share(0, 5), share(1, 5)]).toEqual([128 / 255, 0]);
  expect(picture.heat[0]).toBeCloseTo(0.1, 6);
});

test("many channels share the cells of the strip, none is lost", () => {
  const picture = pictureOf(normal(1000 * 4, 2), undefined, [1000, 4], 0);
  expect(picture.heat.length).toBeLessThan(60);
  expect(Math.max(...picture.heat)).toBe(1);
});

test("of equal entries the first go, as prune takes them", () => {
  const picture = pictureOf(new Float32Array(64), undefined, [8, 8], 0);
  const half = Array.from({ length: 8 }, (_, cell) => picture.curves[cell * (curveSteps + 1) + 10]);
  expect(half).toEqual([255, 255, 255, 255, 0, 0, 0, 0]);
  expect(picture.quantiles[100]).toBe(0);
});

test("what a mask has taken already is not counted", () => {
  const values = Float32Array.from([9, 9, 1, 2, 3, 4]);
  const picture = pictureOf(values, Float32Array.from([0, 0, 1, 1, 1, 0]), [3, 2], 0);
  expect(picture).toMatchObject({ entries: 3 });
  expect(picture.quantiles[100]).toBe(3);
});

test("a large weight is sampled evenly, and still counted whole", () => {
  const count = 2 ** 21 + 12;
  const picture = pictureOf(normal(count, 3), undefined, [4, count / 4], 0);
  expect(picture.entries).toBe(count);
  // Half of a normal distribution lies within 0.674 deviations.
  expect(picture.quantiles[50]).toBeCloseTo(0.674, 2);
});

describe("the axis of the output channels", () => {
  const pictureIn = async (text: string): Promise<WeightPicture | Miss> => {
    const model = parseModel(text);
    const inference = infer(model);
    const [layer] = layers(model, inference);
    return layer === undefined ? new Miss("no layer") : weightPicture(model, layer, inference);
  };

  test("is followed through a transposition, even of a square", async () => {
    const picture = await pictureIn(`opset 21
graph (x: float32[1, 2]) -> (y) {
  w: float32[2, 2] = [[1, 100], [1, 1]]
  t = Transpose (w) {perm=[1, 0]}
  y = MatMul (x, t)
}`);
    // Output channels are the rows of w: (1, 100) and (1, 1).
    expect(picture).toMatchObject({ heat: [1, expect.closeTo(Math.SQRT2 / Math.hypot(1, 100))] });
  });

  test("is followed through a mask", async () => {
    const picture = await pictureIn(`opset 21
graph (x: float32[1, 2]) -> (y) {
  fc.weight_orig: float32[2, 2] parameter = [[1, 2], [3, 4]]
  fc.weight_mask: float32[2, 2] mask = [[0, 1], [0, 1]]
  fc.weight = Mul (fc.weight_orig, fc.weight_mask)
  y = MatMul (x, fc.weight)
}`);
    expect(picture).toMatchObject({ entries: 2, heat: [0, 1] });
  });

  test("a weight with NaN has no picture", async () => {
    const picture = await pictureIn(`opset 21
graph (x: float32[1, 1]) -> (y) {
  w: float32[1, 1] = [[nan]]
  y = MatMul (x, w)
}`);
    expect(picture).toBeInstanceOf(Miss);
  });
});
