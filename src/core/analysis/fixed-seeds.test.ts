import { expect, test } from "vitest";
import type { Model } from "../graph/model.ts";
import { parseModel } from "../graph/text.ts";
import { hasRandomNodes, haveSameFixedSeeds } from "./fixed-seeds.ts";

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

test("draws are not the same if nodes have different seeds", () => {
  const drawing = (settings: string) =>
    parseModel(`opset 21\ngraph () -> (y) {\n  y = RandomNormal() {shape=[2]${settings}}\n}`);
  const [unseeded, first, second] = ["", ", seed=1.0", ", seed=2.0"].map(drawing) as [Model, Model, Model];
  expect(haveSameFixedSeeds(first, first.clone())).toBe(true);
  expect(haveSameFixedSeeds(first, second)).toBe(false);
  expect(haveSameFixedSeeds(first, unseeded)).toBe(false);
});
