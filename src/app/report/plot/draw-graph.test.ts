import { expect, test } from "vitest";
import { parseModel, printModel } from "../../../core/graph/text.ts";
import { drawGraph } from "./draw-graph.ts";

const net = () =>
  parseModel(`opset 21
graph (x: float32[batch, 8]) -> (y: float32[batch, 4]) {
  weight: float32[8, 4] = random(seed 1)
  h = MatMul "fc/MatMul" (x, weight)
  y = Relu(h)
}`);

test("a drawing has a box for each input, node and output, from top to bottom, and leaves the model unchanged", () => {
  const model = net();
  const before = printModel(model);
  const { boxes, lines, width, height } = drawGraph(model);
  expect(boxes.map(({ family }) => family)).toEqual(["port", "layer", "compute", "port"]);
  const middles = boxes.map(({ y }) => y);
  expect(middles).toEqual(middles.toSorted((a, b) => a - b));
  expect(lines).toHaveLength(3);
  for (const { top, bottom } of lines) expect(bottom).toBeGreaterThan(top);
  for (const { x, y } of boxes) expect([x > 0 && x < width, y > 0 && y < height]).toEqual([true, true]);
  expect(printModel(model)).toBe(before);
});
