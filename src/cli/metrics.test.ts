import { describe, expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { answerKind, heldAgainst, judgedBy } from "./metrics.ts";

const kindOf = (dims: string, body = "y = Identity(x)") =>
  answerKind(parseModel(`opset 21\ngraph (x: float32[${dims}]) -> (y) {\n  ${body}\n}`), undefined);

describe("what a model answers with", () => {
  test.each([
    ["batch, 3, 32, 32", "picture"],
    ["batch, 1, height, width", "picture"],
    ["batch, 64, 64, 3", "picture"],
    ["batch, 21, 32, 32", "classes"],
    ["batch, 32, 32, 21", "classes"],
    ["batch, 3, 1, 1", "classes"],
    ["batch, 1, 1, 10", "classes"],
    ["batch, 3", "classes"],
    ["batch, 7, 3", "classes"],
    ["batch, 1", "number"],
    ["batch, 1, 1, 1", "number"],
  ])("of [%s] is %s", (dims, kind) => {
    expect(kindOf(dims)).toBe(kind);
  });

  test("three planes that sum to one are shares of classes for each pixel", () => {
    expect(kindOf("batch, 3, 32, 32", "y = Softmax(x) {axis=1}")).toBe("classes");
  });

  test("pictures are held against the original's by their numbers; same classes mean nothing in them", () => {
    const model = parseModel("opset 21\ngraph (x: float32[n, 3, 8, 8]) -> (y) {\n  y = Relu(x)\n}");
    expect(heldAgainst(model, undefined).map(({ name }) => name)).toEqual(["R²", "signal to noise"]);
    expect(judgedBy(model, "accuracy", undefined, false).name).toBe("R²");
    expect(judgedBy(model, "agreement", undefined, false).name).toBe("agreement");
  });
});
