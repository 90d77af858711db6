import { expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { hasBatchAxis } from "./batch-axis.ts";

const model = (types: string, body: string) => parseModel(`opset 21 graph (${types}) {\n  ${body}\n}`);

test.each([
  ["an output has the same number of rows", "x: float32[n, 4]) -> (y: float32[n, 4]", "y = Relu(x)"],
  [
    "an output has a multiple of the rows",
    "x: float32[n, 4]) -> (y: float32[m, 2]",
    "s: int64[2] = [-1, 2]\n  y = Reshape(x, s)",
  ],
  [
    "one of two outputs has the same number of rows",
    "x: float32[n, 4]) -> (y: float32[n, 4], z: float32[4]",
    "y = Relu(x)\n  a: int64[1] = [0]\n  z = ReduceSum(x, a) {keepdims=0}",
  ],
  [
    "the number of rows of an output is known only at run time",
    "x: float32[n, 4]) -> (y: float32[k, 2]",
    "c = NonZero(x)\n  z = Transpose(c)\n  y = Cast(z) {to=1}",
  ],
  ["the model fixes its batch", "x: float32[1, 4]) -> (y: float32[4]", "a: int64[1] = [0]\n  y = Squeeze(x, a)"],
])("finds a batch axis if %s", (_, types, body) => {
  expect(hasBatchAxis(model(types, body))).toBe(true);
});

test.each([
  [
    "counts steps and the output has the top ten",
    "x: float32[n]) -> (y: float32[10]",
    "k: int64[1] = [10]\n  y, i = TopK(x, k)",
  ],
  [
    "is another axis of the output",
    "x: float32[n, 4]) -> (y: float32[1, n, 4]",
    "a: int64[1] = [0]\n  y = Unsqueeze(x, a)",
  ],
  ["is summed to a scalar", "x: float32[n]) -> (y: float32[]", "y = ReduceSum(x) {keepdims=0}"],
  [
    "has one more row in the output",
    "x: float32[n, 4]) -> (y: float32[m, 4]",
    "c: float32[1, 4] = [1, 2, 3, 4]\n  y = Concat(c, x) {axis=0}",
  ],
])("finds no batch axis if the first axis %s", (_, types, body) => {
  expect(hasBatchAxis(model(types, body))).toBe(false);
});
