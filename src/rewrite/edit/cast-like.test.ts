import { expect, test } from "vitest";
import { infer } from "../../core/analysis/infer.ts";
import { parseModel, printNode } from "../../core/graph/text.ts";
import { assertValid } from "../../core/graph/verify.ts";
import { lowerTypeCasts } from "./lower-fused.ts";

test("castsByType replaces CastLike by Cast, so that a bias depends on stored tensors only", () => {
  const model = parseModel(`opset 17
graph (x: float16[batch, 2]) -> (y: float16[batch, 2], z: float16[1]) {
  zero: float32[1] = [0]
  z = CastLike(zero, x)
  y = Add(x, z)
}`);
  expect(lowerTypeCasts(model)).toBe(1);
  assertValid(model);
  expect([...model.graph.nodes()].map(printNode)).toEqual([
    expect.stringMatching(/^z.* = Cast\(zero\) \{to=10\}$/),
    expect.stringMatching(/^y.* = Add\(x, z\)$/),
  ]);
  const z = model.graph.value("z");
  expect(z === undefined ? undefined : infer(model).operand(z)?.stored).toBe(true);
  expect(lowerTypeCasts(model)).toBe(0);
});

test("castsByType replaces CastLike in subgraphs", () => {
  const model = parseModel(`opset 17
graph (c: bool[], x: float32[2]) -> (y: float32[2]) {
  zero: int32[2] = [1, 2]
  y = If(c) {then_branch=graph () -> (a) { a = CastLike(zero, x) }, else_branch=graph () -> (b) { b = Neg(x) }}
}`);
  expect(lowerTypeCasts(model)).toBe(1);
  assertValid(model);
});
