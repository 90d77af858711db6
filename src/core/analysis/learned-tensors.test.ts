import { expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { inMemory } from "../tensor/dense.ts";
import { infer } from "./infer.ts";
import { learnedCount, learnedTensors } from "./learned-tensors.ts";

const learned = async (text: string) => {
  const model = parseModel(`opset 21\n${text}`);
  const counts = await learnedTensors(model, infer(model));
  return [
    [...counts.keys()]
      .map(({ name }) => name)
      .sort()
      .join(" "),
    learnedCount(counts),
  ];
};

test("counts float and quantized weights, biases and embeddings, but not scales, sizes and indices", async () => {
  expect(
    await learned(`graph (ids: int64[N], x: float32[N, 2]) -> (y) {
  table: int8[5, 2] = [[1, 2], [3, 4], [5, 6], [7, 8], [9, 9]]
  weight: int8[2, 3] = [[1, 2, 3], [4, 5, 6]]
  bias: int32[3] = [1, 2, 3]
  scale: float32[] = 0.5
  places: int64[2] = [0, 1]
  shape: int64[2] = [-1, 3]
  factor: float32[3] = [1, 2, 3]
  e = Gather (table, ids)
  f = DequantizeLinear (e, scale)
  w = DequantizeLinear (weight, scale)
  b = DequantizeLinear (bias, scale)
  p = Gather (places, ids)
  q = Cast (p) {to=1}
  s = Add (x, f)
  g = Gemm (s, w, b)
  r = Reshape (g, shape)
  y = Mul (r, factor)
}`),
  ).toEqual(["bias factor table weight", 10 + 6 + 3 + 3]);
});

test("counts no mask, buffer or state by role, but counts a parameter of constants", async () => {
  expect(
    await learned(`graph (x: float32[N, 2]) -> (y) {
  w: float32[2, 2] parameter = [[1, 0], [0, 1]]
  m: float32[2, 2] mask = [[1, 0], [0, 1]]
  k: float32[2] buffer = [1, 2]
  t: float32[2, 2] parameter = [[0, 1], [1, 0]]
  v = Mul (w, m)
  h = MatMul (x, v)
  i = MatMul (h, t)
  y = Add (i, k)
}`),
  ).toEqual(["t w", 8]);
});

test("counts both copies of a matrix stored twice, with or without the role tied", async () => {
  const twice = (role: string): Promise<unknown> =>
    learned(`graph (x: float32[N, 2]) -> (y) {
  w: float32[2, 2] = [[1, 2], [3, 4]]
  u: float32[2, 2] ${role} = [[1, 3], [2, 4]]
  h = MatMul (x, w)
  y = MatMul (h, u)
}`);
  expect(await twice("tied(w, transposed)")).toEqual(await twice(""));
  expect(await twice("")).toEqual(["u w", 8]);
});

test("does not count an additive mask, unless its tensor is too large to check", async () => {
  const text = `opset 21
graph (x: float32[N, 2, 2]) -> (y) {
  mask: float32[1, 2, 2] = [[[0, -1e9], [0, 0]]]
  y = Add (x, mask)
}`;
  const model = parseModel(text);
  expect(learnedCount(await learnedTensors(model, infer(model)))).toBe(0);
  const large = parseModel(text);
  const value = large.graph.value("mask");
  const { small, ...rest } = value?.tensor ?? inMemory({ type: "float32", dims: [0], data: new Float32Array(0) });
  if (value !== undefined)
    value.tensor = { ...rest, small, bytes: 2 ** 30, read: () => Promise.reject(new Error("read")) };
  expect(learnedCount(await learnedTensors(large, infer(large)))).toBe(4);
});

test("does not count an int32 size that is joined into a shape", async () => {
  expect(
    await learned(`graph (x: float32[N, 2]) -> (y) {
  w: float32[2, 3] = [[1, 2, 3], [4, 5, 6]]
  units: int32[1] = [3]
  fill: float32[] = 0.5
  h = MatMul (x, w)
  s = Shape (x) {end=1}
  t = Cast (s) {to=6}
  j = Concat (t, units) {axis=0}
  k = Cast (j) {to=7}
  e = Expand (fill, k)
  y = Add (h, e)
}`),
  ).toEqual(["w", 6]);
});
