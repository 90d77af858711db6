import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import type { Dataset } from "../../data/batches/types.ts";
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
