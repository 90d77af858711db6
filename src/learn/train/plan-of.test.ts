import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import type { Dataset } from "../../data/batches/dataset.ts";
import { memory } from "../../data/index.ts";
import { train } from "./train.ts";

const pairs = memory("pairs", {
  x: float32([4, 2], [1, 0, 0, 1, 2, 0, 0, 3]),
  label: fromNumbers("int64", [4], [0, 1, 0, 1]),
});
const stream: Dataset = { name: "stream", count: undefined, batches: ({ size }) => pairs.batches({ size }) };

test.each([
  [stream, {}, ["stream has an unknown number of samples: the learning rate stays 0.5, without schedule and warm-up"]],
  [stream, { schedule: "constant", warmup: 2 }, [expect.stringContaining("without schedule and warm-up")]],
  [stream, { schedule: "constant" }, []],
  [pairs, {}, []],
] as const)("logs that a stream without a known end ignores the schedule (%#)", async (data, more, expected) => {
  const model = parseModel(`opset 18
graph (x: float32[batch, 2]) -> (logits) {
  w: float32[2, 2] = [[1, 2], [3, 1]]
  logits = MatMul(x, w)
}`);
  const warnings: string[] = [];
  const log = ({ text, level }: { readonly text: string; readonly level?: string }) => {
    if (level === "warning") warnings.push(text);
  };
  await train(model, { data, batch: 2, epochs: 1, learningRate: 0.5, ...more }, { log });
  expect(warnings).toEqual(expected);
});

test.each([
  [0.5, undefined, 0.001],
  [0.004, undefined, 0.0002],
  [0.004, "sgd", 0.05],
  [0, undefined, 0.001],
] as const)("the default rate for weights of RMS %d and optimizer %s is %d", async (weight, optimizer, expected) => {
  const model = parseModel(`opset 18
graph (x: float32[batch, 2]) -> (logits) {
  w: float32[2, 2] = [[${weight}, -${weight}], [-${weight}, ${weight}]]
  logits = MatMul(x, w)
}`);
  const rates: number[] = [];
  const onStep = ({ learningRate }: { readonly learningRate: number }): void => void rates.push(learningRate);
  await train(model, { data: pairs, batch: 2, epochs: 1, schedule: "constant", optimizer, onStep });
  expect(rates[0]).toBe(expected);
});

test("only trained weights that are not pruned lower the default rate", async () => {
  const model = parseModel(`opset 18
graph (x: float32[batch, 2]) -> (logits) {
  tiny: float32[2, 2] = [[0.00001, 0.00001], [0.00001, 0.00001]]
  w: float32[2, 2] = [[0.03, 0], [0, 0]]
  a = MatMul(x, tiny)
  b = MatMul(x, w)
  logits = Add(a, b)
}`);
  const rates: number[] = [];
  const onStep = ({ learningRate }: { readonly learningRate: number }): void => void rates.push(learningRate);
  await train(model.clone(), { data: pairs, batch: 2, epochs: 1, schedule: "constant", layers: ["b"], onStep });
  await train(model, { data: pairs, batch: 2, epochs: 1, schedule: "constant", onStep });
  expect(rates[0]).toBe(0.001);
  expect(rates.at(-1)).toBe(0.0001);
});
