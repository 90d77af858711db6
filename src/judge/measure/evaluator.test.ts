import { describe, expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { macsOf } from "./evaluator.ts";

const count = (x: string, dims: readonly number[], size = 1, body = "y = MatMul(x, w)") => {
  const model = parseModel(`opset 21
graph (x: ${x}) -> (y) {
  w: float32[3, 5] = ones
  ${body}
}`);
  const feeds = { x: float32(dims, new Float32Array(dims.reduce((product, dim) => product * dim, 1))) };
  return macsOf(model, { feeds, size });
};

describe("macsOfOne", () => {
  test("returns the MACs of a run if the batch size is free", () => {
    expect(count("float32[batch, 3]", [1, 3])).toBe(15);
    expect(count("float32[batch, length, 3]", [1, 7, 3])).toBe(7 * 15);
  });

  test("divides the MACs of a run by the batch size that the model fixes", () => {
    expect(count("float32[4, 3]", [4, 3], 4)).toBe(15);
    expect(count("float32[4, length, 3]", [4, 7, 3], 4)).toBe(7 * 15);
  });

  test("returns undefined if a dimension depends on input values", () => {
    expect(
      count(
        "float32[batch, 3]",
        [1, 3],
        1,
        "n = NonZero(x)\n  f = Cast(n) {to=1}\n  t = Reshape(f, s)\n  s: int64[2] = [-1, 3]\n  y = MatMul(t, w)",
      ),
    ).toBeUndefined();
  });

  test("returns undefined if a layer of unknown rank has its weight in a Constant node of a branch", () => {
    const body = `flag: bool[] = true
  zero: int64[] = 0
  y = If (flag) {then_branch=graph () -> (a) {
    n = NonZero(x)
    shape = Gather(n, zero)
    t = Reshape(x, shape)
    c = Constant () {value=float32[3, 3] ones}
    a = MatMul(t, c)
  }, else_branch=graph () -> (b) { b = Neg(x) }}`;
    expect(count("float32[batch, 3]", [1, 3], 1, body)).toBeUndefined();
  });

  test("returns undefined if declared output dimensions contradict the computed ones", () => {
    const model = parseModel(`opset 21
graph (x: float32[batch, 3]) -> (y: float32[batch, 3]) {
  w: float32[3, 3] = ones
  shape: int64[2] = [2, 3]
  h = MatMul(x, w)
  y = Reshape(h, shape)
}`);
    expect(macsOf(model, { feeds: { x: float32([1, 3], new Float32Array(3)) }, size: 1 })).toBeUndefined();
  });
});
