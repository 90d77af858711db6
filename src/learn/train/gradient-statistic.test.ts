import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { batchNorm, linear, network } from "../nn/index.ts";
import { type GradientStatistic, observeGradients } from "./gradient-statistic.ts";
import { crossEntropy } from "./losses/cross-entropy.ts";
import { meanSquaredError } from "./losses/numbers.ts";

const list = (each: Pick<GradientStatistic<unknown>, "each">): GradientStatistic<number[][]> => ({
  of: "gradients",
  ...each,
  begin() {
    const gradients: number[][] = [];
    return { add: (gradient) => void gradients.push([...gradient]), end: () => gradients };
  },
});

test("gradients of a linear network are 2 / outputs · x (y - t)ᵀ for each sample, and their mean for a batch", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y) {
  w: float32[2, 2] = [[1, 2], [3, 4]]
  y = MatMul "fc" (x, w)
}`);
  const data = memory("samples", { x: float32([2, 2], [1, -1, 0.5, 2]), label: float32([2, 2], [0, 0, 1, 1]) });
  const observe = (statistic: GradientStatistic<number[][]>) =>
    observeGradients(model, ["w"], statistic, { data, loss: meanSquaredError() });
  // x₁ W = (-2, -2) has the error (-2, -2), and x₂ W = (6.5, 9) the error (5.5, 8).
  const samples = (await observe(list({ each: "sample" }))).get("w");
  expect(samples?.toSorted(([a = 0], [b = 0]) => a - b)).toEqual([
    [-2, -2, 2, 2],
    [2.75, 4, 11, 16],
  ]);
  expect((await observe(list({}))).get("w")).toEqual([[0.375, 1, 6.5, 9]]);
});

test("gradients of single samples are rejected with batch statistics", async () => {
  const model = network({ fc: linear(4, 3), norm: batchNorm(3) }, { input: ["batch", 4], seed: 1 });
  const data = memory("samples", { input: float32([2, 4], [1, 2, 3, 4, 5, 6, 7, 8]), label: int64([2], [0, 1]) });
  const observed = observeGradients(model, ["fc.weight", "norm.weight"], list({ each: "sample" }), {
    data,
    loss: crossEntropy(),
  });
  await expect(observed).rejects.toMatchObject({
    code: "E_UNSUPPORTED",
    message: 'A sample has no separate gradient: "norm.running_mean" is computed from all samples of a batch.',
  });
});

test("a model for one sample at a time has gradients of single samples", async () => {
  const model = network({ fc: linear(4, 3) }, { input: [1, 4], seed: 1 });
  const data = memory("samples", { input: float32([2, 4], [1, 2, 3, 4, 5, 6, 7, -8]), label: int64([2], [0, 1]) });
  const observed = await observeGradients(model, ["fc.weight"], list({ each: "sample" }), {
    data,
    loss: crossEntropy(),
  });
  expect(observed.get("fc.weight")).toHaveLength(2);
});

test("single samples have gradients if padding leaves them different numbers of labels", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, tokens, 2]) -> (y) {
  w: float32[2, 3] = [[1, 2, 3], [3, 4, 1]]
  y = MatMul "fc" (x, w)
}`);
  const inputs = [1, 2, 3, 4, 5, 6, 7, 8, 1, 0, 2, 3];
  const observe = (labels: readonly number[], tokens: number) => {
    const x = float32([labels.length / tokens, tokens, 2], inputs.slice(-2 * labels.length));
    const data = memory("texts", { x, label: int64([labels.length / tokens, tokens], labels) });
    return observeGradients(model, ["w"], list({ each: "sample" }), { data, loss: crossEntropy() });
  };
  const both = (await observe([0, 1, 2, 1, -100, -100], 3)).get("w");
  const short = (await observe([1, -100, -100], 3)).get("w");
  expect(both).toHaveLength(2);
  expect(both).toContainEqual(short?.[0]);
});

test("single samples have gradients with a dropout that the file declares to be in training mode", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 4]) -> (y) {
  ratio: float32[] = 0.5
  mode: bool[] = true
  w: float32[4, 3] = [[1, 2, 3], [3, 4, 1], [1, 0, 1], [0, 1, 0]]
  kept = Dropout(x, ratio, mode)
  y = MatMul "fc" (kept, w)
}`);
  const data = memory("samples", { x: float32([2, 4], [1, 2, 3, 4, 5, 6, 7, 8]), label: int64([2], [0, 1]) });
  const observed = await observeGradients(model, ["w"], list({ each: "sample" }), { data, loss: crossEntropy() });
  expect(observed.get("w")).toHaveLength(2);
});
