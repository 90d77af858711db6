import { describe, expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { detectionForm } from "./detection-form.ts";
import { infer } from "./infer.ts";

function formOf(inputs: string, body: string) {
  const model = parseModel(`opset 18\ngraph (${inputs}) -> (y) {\n  ${body}\n}`);
  const inference = infer(model);
  const [output] = model.graph.outputs;
  return output && detectionForm(model, output, inference);
}

describe("detectionForm", () => {
  test("recognizes boxes above scores of a Sigmoid, one box per column", () => {
    const scores = "s = Sigmoid(c)\n  y = Concat(b, s) {axis=1}";
    const inputs = "b: float32[n, 4, 64], c: float32[n, 5, 64]";
    expect(formOf(inputs, scores)).toEqual({ layout: "[N, 4 + classes, boxes]", classes: 5 });
    expect(formOf(inputs, `${scores.replace("y =", "j =")}\n  y = Identity(j)`)?.classes).toBe(5);
  });

  test("recognizes one box per row, with or without objectness", () => {
    const join = (boxes: string) => `s = Sigmoid(c)\n  y = Concat(${boxes}, s) {axis=2}`;
    const inputs = "p: float32[n, 300, 2], q: float32[n, 300, 2], b: float32[n, 300, 4], c: float32[n, 300, 8]";
    expect(formOf(inputs, join("b"))).toEqual({ layout: "[N, boxes, 4 + classes]", classes: 8 });
    expect(formOf(inputs, join("p, q"))).toEqual({ layout: "[N, boxes, 5 + classes]", classes: 7 });
  });

  test("looks behind the concatenation of several scales, and behind a transposition", () => {
    const scale = (name: string, size: number) =>
      `s${name} = Sigmoid(c${name})\n  j${name} = Concat(p${name}, q${name}, s${name}) {axis=4}\n  r${name} = Reshape(j${name}, shape${size})\n  `;
    const dims = (name: string, size: number) =>
      `p${name}: float32[1, 3, ${size}, ${size}, 2], q${name}: float32[1, 3, ${size}, ${size}, 2], c${name}: float32[1, 3, ${size}, ${size}, 6]`;
    const shapes = "shape8: int64[3] = [1, 192, 10]\n  shape4: int64[3] = [1, 48, 10]\n  ";
    const body = `${shapes}${scale("a", 8)}${scale("b", 4)}y = Concat(ra, rb) {axis=1}`;
    expect(formOf(`${dims("a", 8)}, ${dims("b", 4)}`, body)).toEqual({ layout: "[N, boxes, 5 + classes]", classes: 5 });
    const transposed = "s = Sigmoid(c)\n  j = Concat(b, o, s) {axis=1}\n  y = Transpose(j) {perm=[0, 2, 1]}";
    const inputs = "b: float32[n, 4, 64], o: float32[n, 1, 64], c: float32[n, 3, 64]";
    expect(formOf(inputs, transposed)).toBeUndefined();
    const objectness = transposed.replace("j =", "t = Sigmoid(o)\n  j =").replace(", o, s", ", t, s");
    expect(formOf(inputs, objectness)).toEqual({ layout: "[N, boxes, 5 + classes]", classes: 3 });
  });

  test.each([
    ["scores without a Sigmoid", "y = Concat(b, c) {axis=1}"],
    ["scores of a Softmax over positions", "t = Tanh(c)\n  y = Concat(b, t) {axis=1}"],
    ["no boundary after four numbers", "s = Sigmoid(c)\n  y = Concat(s, b) {axis=1}"],
    ["a value that mixes the parts", "s = Sigmoid(c)\n  j = Concat(b, s) {axis=1}\n  y = Softmax(j) {axis=1}"],
  ])("does not recognize %s", (_, body) => {
    expect(formOf("b: float32[n, 4, 64], c: float32[n, 5, 64]", body)).toBeUndefined();
  });
});
