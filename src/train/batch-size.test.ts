import { expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { zeros } from "../tensor/dense.ts";
import { batchSize } from "./batch-size.ts";

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
])("two layers of values for inputs [%s] take 1.25 GiB at most", (input, sample, expected) => {
  expect(batchSize(pooled(input), 128, sample).size).toBe(expected);
});

test("one sample is run, however large it is, and the size is explained", () => {
  expect(batchSize(pooled("N, 64, 2048, 2048"), 64)).toEqual({
    size: 1,
    why: "for 64 samples the layers would compute 137 GB",
  });
});

test("a size in a constant inside is the model's own", () => {
  const fixed = parseModel(`opset 18
graph (x: float32[8, 4]) -> (y: float32[8, 2, 2]) {
  shape: int64[3] = [8, 2, 2]
  y = Reshape(x, shape)
}`);
  expect(batchSize(fixed, 128)).toEqual({ size: 8, why: "the model was exported with this batch size" });
});
