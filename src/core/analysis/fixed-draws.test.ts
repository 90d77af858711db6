import { expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { hasRandomNodes } from "./fixed-draws.ts";

const dropout = (ratio: string, training: string) =>
  parseModel(`opset 21
graph (x: float32[4], mode: bool[]) -> (y) {
  ratio: float32[] = [${ratio}]
  training: bool[] = [${training}]
  constant = Constant() {value=bool[] [${training}]}
  y = Dropout(x, ratio, training)
  z = Dropout(y, ratio, constant)
}`);

test("a Dropout that its stored inputs turn off draws no random numbers", () => {
  expect(hasRandomNodes(dropout("0.5", "0"))).toBe(false);
  expect(hasRandomNodes(dropout("0", "1"))).toBe(false);
  expect(hasRandomNodes(dropout("0.5", "1"))).toBe(true);
});
