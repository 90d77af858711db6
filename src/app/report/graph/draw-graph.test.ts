import { expect, test } from "vitest";
import { faults } from "../../../../test/app/report/well-formed.ts";
import { infer } from "../../../core/analysis/infer.ts";
import { layers } from "../../../core/analysis/layers.ts";
import { parseModel, printModel } from "../../../core/graph/text.ts";
import { drawGraph, ending } from "./draw-graph.ts";
import { collectPicture } from "./picture.ts";
import { placePicture } from "./placement.ts";

const net = () =>
  parseModel(`opset 21
graph (x: float32[batch, 8]) -> (y: float32[batch, 4]) {
  weight: float32[8, 4] = random(seed 1)
  h = MatMul "fc/MatMul" (x, weight)
  y = Relu(h)
}`);

test("a drawing has a box for each input, node and output, from top to bottom", () => {
  const model = net();
  const inference = infer(model);
  const picture = collectPicture(model.graph, inference, layers(model, inference));
  const { boxes, lines, width, height } = placePicture(picture);
  expect(boxes.map(({ family }) => family)).toEqual(["port", "layer", "compute", "port"]);
  const middles = boxes.map(({ y }) => y);
  expect(middles).toEqual(middles.toSorted((a, b) => a - b));
  expect(lines.map(({ from, to }) => [from, to])).toEqual([
    [0, 1],
    [1, 2],
    [2, 3],
  ]);
  for (const { x, y } of boxes) expect([x > 0 && x < width, y > 0 && y < height]).toEqual([true, true]);
});

test("a drawing is one SVG element with a name and a tooltip for each box, and leaves the model unchanged", () => {
  const model = net();
  const before = printModel(model);
  const markup = drawGraph(model);
  expect(faults(markup)).toEqual([]);
  expect(markup.startsWith("<svg ")).toBe(true);
  expect(markup).toContain(">fc/MatMul</text>");
  expect(markup).toContain("in weight: float32 [8, 4], stored");
  expect(printModel(model)).toBe(before);
});

test("shortens a name to its last parts, which differ between layers", () => {
  expect(ending("encoder.layer.0.query")).toBe("encoder.layer.0.query");
  expect(ending("model.bert.encoder.layer.0.attention.self.query")).toBe("….0.attention.self.query");
  expect(ending("a".repeat(40))).toBe(`…${"a".repeat(28)}`);
});
