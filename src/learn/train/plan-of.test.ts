import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { fromNumbers, toNumbers } from "../../core/tensor/convert.ts";
import { float32, inMemory, int64 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { memory } from "../../data/index.ts";
import { prune } from "../../techniques/prune/index.ts";
import { linear, network, relu } from "../nn/index.ts";
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

test.each([1])(
  "an epoch at the default rate does not make a pruned network for raw pixels worse, and no step much worse (seed %i)",
  async (seed) => {
    const [features, width, classes, count] = [27, 24, 8, 1280];
    const numbers = random(seed, "raw");
    const centers = Array.from({ length: classes * features }, () => numbers.normal(0, 0.5));
    const labels = Array.from({ length: count }, () => numbers.integer(classes));
    const points = labels.flatMap((label) =>
      Array.from({ length: features }, (_, axis) => (centers[label * features + axis] ?? 0) + numbers.normal()),
    );
    const dataOf = (values: readonly number[]): Dataset =>
      memory("points", { input: float32([count, features], values), label: int64([count], labels) });
    const model = network(
      {
        ...{ first: linear(features, width), relu1: relu(), second: linear(width, width), relu2: relu() },
        ...{ third: linear(width, width), relu3: relu(), fourth: linear(width, width), relu4: relu() },
        last: linear(width, classes),
      },
      { input: ["batch", features], seed },
    );
    await train(model, { data: dataOf(points), epochs: 12, batch: 32, learningRate: 0.005 });
    // Folds the scale 32 and the mean 128 of pixels into the first layer.
    const [weight, bias] = ["first.weight", "first.bias"].map((name) => model.graph.value(name));
    const [weights, biases] = [await weight?.tensor?.read(), await bias?.tensor?.read()];
    if (!weight || !bias || !weights || !biases) throw new Error("expected a first layer");
    const scaled = toNumbers(weights).map((number) => number / 32);
    const shifted = toNumbers(biases).map((number, row) =>
      scaled.slice(row * features, (row + 1) * features).reduce((sum, entry) => sum - 128 * entry, number),
    );
    weight.tensor = inMemory(float32([width, features], scaled));
    bias.tensor = inMemory(float32([width], shifted));
    await prune(model, { structured: true, amount: 0.3 });
    const data = dataOf(points.map((point) => 128 + 32 * point));
    const losses: number[] = [];
    const onStep = ({ loss }: { readonly loss: number }): void => void losses.push(loss);
    const { history } = await train(model, { data, validation: data, epochs: 1, batch: 128, onStep });
    const [before, after] = history.flatMap(({ evaluations }) => evaluations.map(({ figure }) => figure));
    expect(after).toBeLessThan(before ?? 0);
    expect(Math.max(...losses)).toBeLessThan(1.5 * (losses[0] ?? 0));
  },
);
