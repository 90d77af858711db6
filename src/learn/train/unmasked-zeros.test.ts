import { expect, test } from "vitest";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { describeUnmaskedZeros, train } from "./train.ts";

const data = memory("some", { x: float32([4, 4], new Float32Array(16).fill(1)), label: int64([4], [0, 1, 0, 1]) });

/** Returns a 4 × 4 layer whose weight begins with `count` zeros, and a dense layer. */
function zerosIn(count: number, extra = ""): Model {
  const numbers = Array.from({ length: 16 }, (_, index) => (index < count ? 0 : 0.1 * (index + 1)));
  const rows = [0, 4, 8, 12].map((index) => `[${numbers.slice(index, index + 4)}]`);
  return parseModel(`opset 21
graph (x: float32[batch, 4]) -> (y) {
  fc1.weight: float32[4, 4] parameter = [${rows}]
  fc1.bias: float32[4] parameter = zeros
  fc2.weight: float32[4, 2] parameter = random(seed 1)
  h = Gemm "fc1" (x, fc1.weight, fc1.bias) {transB=1}
  y = MatMul "fc2" (h, fc2.weight)${extra}
}`);
}

async function warningsOf(
  model: Model,
  options: Partial<Parameters<typeof train>[1]> = {},
): Promise<readonly string[]> {
  const warnings: string[] = [];
  await train(
    model,
    { data, epochs: 1, ...options },
    { log: ({ id, text, level }) => void (id === "unmasked-zeros" && warnings.push(`${level}: ${text}`)) },
  );
  return warnings;
}

test("warns that training overwrites zeros without a mask", async () => {
  expect(await warningsOf(zerosIn(8))).toEqual([
    'warning: 50.0 % of "fc1.weight" are exact zeros without a mask, which training overwrites: to keep them at zero, ' +
      "prune with `prune keepMasks`, train the result, then run `simplify finalize`",
  ]);
});

test("does not warn of dense weights, few zeros, untrained tensors and biases", async () => {
  for (const count of [0, 1, 16]) expect(await warningsOf(zerosIn(count)), `${count}`).toEqual([]);
});

test("does not warn of matrices of zeros and ones", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 3]) -> (y) {
  picks: float32[3, 2] parameter = [[1, 0], [0, 0], [0, 1]]
  y = MatMul(x, picks)
}`);
  expect(await describeUnmaskedZeros(model, {})).toBeUndefined();
});

test("does not warn of frozen weights", async () => {
  expect(await warningsOf(zerosIn(8), { layers: "fc2" })).toEqual([]);
});

test("does not warn of masked zeros", async () => {
  const masked = parseModel(`opset 21
graph (x: float32[batch, 4]) -> (y) {
  fc.weight_orig: float32[4, 2] parameter = [[0, 0], [0, 0], [3, 1], [1, 2]]
  fc.weight_mask: float32[4, 2] mask = [[0, 0], [0, 0], [1, 1], [1, 1]]
  fc.weight = Mul(fc.weight_orig, fc.weight_mask)
  y = MatMul "fc" (x, fc.weight)
}`);
  expect(await warningsOf(masked)).toEqual([]);
});

test("reports several matrices in one warning with their joint share", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y) {
  a: float32[2, 2] parameter = [[0, 0], [2, 1]]
  b: float32[2, 2] parameter = [[0, 3], [0, 1]]
  c: float32[2, 2] parameter = [[0, 0], [1, 2]]
  d: float32[2, 2] parameter = [[1, 1], [1, 1]]
  p = MatMul(x, a)
  q = MatMul(p, b)
  r = MatMul(q, c)
  y = MatMul(r, d)
}`);
  expect(await describeUnmaskedZeros(model, {})).toMatch(/^50\.0 % of "a", "b" and "c" are exact zeros/);
});
