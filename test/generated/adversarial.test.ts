/** Models that `simplify` once changed, and a few networks that try to break it. */
import { expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import { elementCount } from "../../src/core/tensor/dims.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { joinsOtherSizes, survey, trySimplify } from "./adversarial.ts";

test("simplify keeps the outputs of adversarial networks", async () => {
  const { ran, faults } = await survey(16, 7);
  expect(ran).toBeGreaterThan(6);
  expect(faults).toEqual([]);
});

test("a Concat of an empty value of another size is no fault of a rule", () => {
  const text = `opset 21
graph (x: float32[n, 8], z: float32[m, 4]) -> (y) {
  y = Concat(x, z) {axis=-1}
}`;
  const batchOf = (rows: number): Batch => ({
    x: fromNumbers("float32", [1, 8], Array(8).fill(1)),
    z: fromNumbers("float32", [rows, 4], Array(4 * rows).fill(1)),
  });
  const joins = (rows: number): boolean => joinsOtherSizes({ model: parseModel(text), batches: [batchOf(rows)] });
  expect([joins(0), joins(1)]).toEqual([true, false]);
});

test("a Range whose step is not a number has an unknown length", () => {
  const text =
    "opset 21\ngraph () -> (y) {\n  a: float32[] = 0\n  b: float32[] = 1\n  n: float32[] = nan\n  y = Range(a, b, n)\n}";
  const model = parseModel(text);
  const [output] = model.graph.outputs;
  const [length] = (output && infer(model).operand(output)?.dims) ?? [];
  expect(typeof length).toBe("object");
});

const empty: Readonly<Record<string, string>> = {
  "a reduction of an empty tensor along a negative axis, in a size that is not the standard's": `opset 11
graph (x: float32[]) -> (y) {
  s = Shape(x)
  n = ReduceL2(s) {axes=[-1]}
  u = Unsqueeze(n) {axes=[0]}
  y = ReduceL2(u) {axes=[0, 1], keepdims=0}
}`,
  "a maximum of such a reduction": `opset 9
graph (x: float32[0, 3]) -> (y) {
  s = ReduceL1(x) {axes=[-1, -2]}
  y = ReduceMax(s)
}`,
  "a Squeeze with an empty list of axes": `opset 21
graph (x: float32[2, 1, 1]) -> (y) {
  none: int64[0] = []
  r = ReduceMean(x, none)
  y = Squeeze(r, none)
}`,
  "a backward Slice without an end": `opset 21
graph (x: float32[2, 3, 4]) -> (y) {
  start: int64[1] = [0]
  end: int64[1] = [2147483647]
  step: int64[1] = [-1]
  s = Shape(x)
  y = Slice(s, start, end, start, step)
}`,
  "a backward Slice of an empty axis": `opset 21
graph (x: float32[2, 8]) -> (y, s) {
  zero: int64[1] = [0]
  one: int64[1] = [1]
  back: int64[1] = [-1]
  a = Slice(x, one, zero, one)
  y = Slice(a, zero, zero, one, back)
  s = Shape(y)
}`,
  "a Slice of nothing on an axis of length 1": `opset 21
graph (x: float32[1, 1, 1]) -> (y) {
  one: int64[1] = [1]
  h = Slice(x, one, one, one)
  y = Neg(h)
}`,
  "padding of an empty axis": `opset 21
graph (x: float32[1, 2, 0, 5]) -> (y) {
  pads: int64[8] = [0, 0, 1, 1, 0, 0, 1, 0]
  lowest: float32[] = -inf
  r = Relu(x)
  p = Pad(r, pads, lowest)
  y = MaxPool(p) {kernel_shape=[2, 3]}
}`,
  "attention without tokens": `opset 23
graph (q: float32[2, 2, 0, 4], k: float32[2, 2, 5, 4], v: float32[2, 2, 5, 4]) -> (y) {
  t = Transpose(k) {perm=[0, 1, 3, 2]}
  p = MatMul(q, t)
  s = Softmax(p)
  y = MatMul(s, v)
}`,
  "a Clip without bounds": `opset 21
graph (x: float32[4]) -> (y) {
  h = Clip(x)
  y = Neg(h)
}`,
  "batch normalization without variance": `opset 21
graph (x: float32[4, 3]) -> (y) {
  w: float32[3, 2] = random(seed 1)
  v: float32[2] = [1, 2]
  variance: float32[2] = [1, 0]
  h = Gemm(x, w)
  y = BatchNormalization(h, v, v, v, variance) {epsilon=0.0}
}`,
};

test.each(Object.entries(empty))("simplify keeps the outputs of %s", async (_, text) => {
  const model = parseModel(text);
  const special = [1, Number.POSITIVE_INFINITY, -2, Number.NEGATIVE_INFINITY, 0.5, 3];
  const feeds: Batch = Object.fromEntries(
    model.graph.feeds.map(({ name, type }) => {
      const dims = (type?.dims ?? []).map(Number);
      const data = Array.from({ length: elementCount(dims) }, (_, index) => special[index % special.length] ?? 0);
      return [name, fromNumbers("float32", dims, data)];
    }),
  );
  const { applied, fault } = await trySimplify({ model, batches: [feeds] });
  expect(applied).toBeDefined();
  expect(fault).toBeUndefined();
});
