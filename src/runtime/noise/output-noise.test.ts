import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { OutputNoise } from "./answer-noise.ts";

const model = parseModel(`opset 17
graph (boxes: float32[N, 2, 2], scores: float32[N, 1, 2]) -> (y: float32[N, 3, 2]) {
  b = Relu(boxes)
  s = Sigmoid(scores)
  y = Concat(b, s) {axis=1}
}`);

test("the noise of an output is the sum over its parts, each divided by its own power", () => {
  const noise = new OutputNoise(model);
  const y = float32([1, 3, 2], [300, 400, 0, 0, 0.6, 0.8]);
  noise.add({ y }, { y: float32([1, 3, 2], [300, 450, 0, 0, 0.6, 0.3]) });
  // 50² / 500² + 0.5² / 1²
  expect(noise.sum).toBeCloseTo(0.01 + 0.25, 6);
});
