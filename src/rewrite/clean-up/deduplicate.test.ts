import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { deduplicate } from "./deduplicate.ts";

const model = (operator: string) =>
  parseModel(`opset 21
graph (a: float32[batch, 3], b: float32[batch, 3]) -> (y: float32[...], z: float32[...]) {
  p = ${operator}(a, b)
  q = ${operator}(b, a)
  y = Neg(p)
  z = Abs(q)
}`);

test.each(["Add", "Mul"])("merges two %s with swapped inputs", async (operator) => {
  const merged = model(operator);
  expect((await deduplicate(merged)).changes).toHaveLength(1);
  expect(merged.graph.nodeCount).toBe(3);
});

test.each(["Sub", "Div", "Pow", "Max", "PRelu"])("keeps two %s with swapped inputs", async (operator) => {
  expect((await deduplicate(model(operator))).changes).toEqual([]);
});

test.each(["Multinomial", "lab.Noise"])(
  "keeps two %s of one input, which may draw different numbers",
  async (operator) => {
    const twice = parseModel(`opset 21, lab 1
graph (a: float32[batch, 3]) -> (y: int32[batch, 1], z: int32[batch, 1]) {
  p = ${operator}(a)
  q = ${operator}(a)
  y = Neg(p)
  z = Abs(q)
}`);
    expect((await deduplicate(twice)).changes).toEqual([]);
  },
);
