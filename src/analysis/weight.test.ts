import { expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { elementCount } from "../tensor/dims.ts";
import { infer } from "./infer.ts";
import { layers } from "./layers.ts";
import { weightMatrices, weightNumbers, weightShape } from "./weight.ts";

/** A layer of one node, and the weight's numbers 0, 1, 2, … */
function layerOf(dims: readonly number[], inputs: string, node: string) {
  const model = parseModel(
    `opset 17\ngraph (${inputs}) -> (y) {\n  w: float32[${dims.join(", ")}] = zeros\n  y = ${node}\n}`,
  );
  const [layer] = layers(model, infer(model));
  if (layer === undefined) throw new Error("no layer");
  return layer;
}

test.each([
  ["Gemm with a transposed weight", [2, 3], "x: float32[n, 3]", "Gemm(x, w) {transB=1}", [[0, 1, 2, 3, 4, 5]]],
  ["MatMul", [3, 2], "x: float32[n, 3]", "MatMul(x, w)", [[0, 2, 4, 1, 3, 5]]],
  ["a convolution", [2, 2, 2], "x: float32[n, 2, 8]", "Conv(x, w)", [[0, 1, 2, 3, 4, 5, 6, 7]]],
  [
    "a convolution in groups",
    [4, 1, 2],
    "x: float32[n, 2, 8]",
    "Conv(x, w) {group=2}",
    [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ],
  ],
  // (inputs, outputs, taps): output 0 is made of 0, 1 and 4, 5.
  ["a transposed convolution", [2, 2, 2], "x: float32[n, 2, 8]", "ConvTranspose(x, w)", [[0, 1, 4, 5, 2, 3, 6, 7]]],
  [
    "a transposed convolution in groups",
    [4, 1, 2],
    "x: float32[n, 4, 8]",
    "ConvTranspose(x, w) {group=2}",
    [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ],
  ],
] as const)("%s as matrices and back", (_, dims, inputs, node, expected) => {
  const { role } = layerOf(dims, inputs, node);
  const numbers = Float64Array.from({ length: elementCount([...dims]) }, (_, at) => at);
  const matrices = weightMatrices(role, dims, numbers);
  expect(matrices.map(({ data }) => [...data])).toEqual(expected);
  const { outputs, inputs: own, taps } = weightShape(role, dims);
  expect(matrices.every(({ rows, columns }) => rows === outputs && columns === own * taps)).toBe(true);
  expect(weightNumbers(role, dims, matrices)).toEqual(numbers);
});
