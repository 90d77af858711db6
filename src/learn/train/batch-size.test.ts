import { describe, expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { float32, int64, zeros } from "../../core/tensor/dense.ts";
import type { Dense } from "../../core/tensor/types.ts";
import type { Dataset } from "../../data/batches/dataset.ts";
import { memory } from "../../data/batches/indexed.ts";
import { chooseBatchSize, fitBatchSize } from "./batch-size.ts";
import { train } from "./train.ts";

const pooled = (input: string) =>
  parseModel(`opset 18
graph (x: float32[${input}]) -> (y) {
  r = Relu(x)
  s = Sigmoid(r)
  y = GlobalAveragePool(s)
}`);

test.each([
  ["N, 64, 256, 256", {}, 39],
  ["1, 64, 256, 256", {}, 39],
  ["N, 3, 32, 32", {}, 128],
  ["N, 3, H, W", {}, 128],
  ["N, 64, H, W", { x: zeros("float32", [1, 64, 256, 256]) }, 39],
])("limits two layers of values for inputs [%s] to 1.25 GiB", (input, sample, expected) => {
  expect(fitBatchSize(pooled(input), 128, sample).size).toBe(expected);
});

test("uses at least one sample and explains the size", () => {
  expect(fitBatchSize(pooled("N, 64, 2048, 2048"), 64)).toEqual({
    size: 1,
    why: "64 samples would need 137 GB for the values of the layers",
  });
});

test("uses the batch size that a constant of the model fixes", async () => {
  const fixed = parseModel(`opset 18
graph (x: float32[8, 4]) -> (y: float32[8, 2, 2]) {
  shape: int64[3] = [8, 2, 2]
  y = Reshape(x, shape)
}`);
  expect(fitBatchSize(fixed, 128)).toEqual({ size: 8, why: "the model was exported with this batch size" });
  const rows = parseModel(`opset 18
graph (x: float32[8, n]) -> (y) {
  shape: int64[3] = [8, -1, 2]
  y = Reshape(x, shape)
}`);
  expect(await chooseBatchSize(rows, 128, memory("rows", { x: zeros("float32", [16, 4]) }))).toMatchObject({ size: 8 });
  const large = parseModel(`opset 18
graph (x: float32[8, 64, 2048, 2048]) -> (y) {
  shape: int64[3] = [8, 64, 4194304]
  y = Reshape(x, shape)
}`);
  expect(fitBatchSize(large, 8)).toEqual({ size: 8 });
});

test("counts the peak memory of a teacher", () => {
  const [small, large] = [pooled("N, 1, 8, 8"), pooled("N, 64, 256, 256")];
  expect(fitBatchSize(small, 128).size).toBe(128);
  // The teacher keeps two of its activations at a time.
  expect(fitBatchSize(small, 128, {}, [large]).size).toBe(39);
  expect(fitBatchSize(small, 128, {}, [large, large]).size).toBe(19);
});

test("reads symbolic sizes from a whole batch", async () => {
  const data: Dataset = {
    name: "maps",
    count: 128,
    async *batches({ size }) {
      yield { x: zeros("float32", [2, 64, size < 128 ? 8 : 256, 256]) };
    },
  };
  expect(await chooseBatchSize(pooled("N, 64, H, W"), 128, data)).toMatchObject({ size: 39 });
});

test("uses one sample for a model without a batch axis", async () => {
  const pooledSteps = () =>
    parseModel(`opset 18
graph (x: float32[n, 3]) -> (y) {
  axes: int64[1] = [0]
  w: float32[3, 2] = [1, 2, 3, 4, 5, 6]
  m = ReduceMean(x, axes)
  y = MatMul(m, w)
}`);
  expect(fitBatchSize(pooledSteps(), 128)).toEqual({ size: 1, why: "the model has no batch axis" });
  const data = memory("walks", { x: zeros("float32", [8, 5, 3]), label: zeros("float32", [8, 1, 2]) });
  const { history } = await train(pooledSteps(), { data, loss: "mse", epochs: 1, accumulate: 4 });
  expect(history[0]?.steps).toBe(2);
  await expect(train(pooledSteps(), { data, loss: "mse", batch: 4 })).rejects.toMatchObject({
    code: "E_OPTION",
    message: "batch: the model has no batch axis: expected 1, got 4.",
    hint: "`accumulate` 4 adds up the gradients of 4 samples.",
  });
});

describe("a fixed input [3] for samples of 3 numbers", () => {
  const model = () =>
    parseModel(`opset 21
graph (x: float32[3]) -> (logits) {
  w: float32[3, 2] parameter = [[1, 2], [3, 4], [1, 0]]
  logits = MatMul (x, w)
}`);
  const samples = (label: Dense, count = 6) =>
    memory("samples", { x: float32([count, 3], new Float32Array(3 * count).fill(1)), label });
  const numbers = (count = 6) => float32([count, 2], new Float32Array(2 * count));

  test.each([3, 6])("trains one sample at a time on numbers (%i samples)", async (count) => {
    const messages: string[] = [];
    const log = ({ id, text }: { readonly id: string; readonly text: string }) => id === "batch" && messages.push(text);
    const { history } = await train(model(), { data: samples(numbers(count), count), loss: "mse", epochs: 1 }, { log });
    expect(messages).toEqual(["batches of 1: the model has no batch axis"]);
    expect(history[0]?.steps).toBe(count);
  });

  test("fails for classes, with the reason, and for larger batches", async () => {
    const classes = samples(int64([6], new BigInt64Array(6)));
    await expect(train(model(), { data: classes, epochs: 1 })).rejects.toMatchObject({
      message: '"logits" must be [batch, …, classes], got [2].',
      hint: expect.stringContaining("with a batch axis"),
    });
    await expect(train(model(), { data: samples(numbers()), loss: "mse", epochs: 1, batch: 3 })).rejects.toMatchObject({
      message: "batch: the model has no batch axis: expected 1, got 3.",
    });
  });
});
