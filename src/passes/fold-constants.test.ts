import { describe, expect, it } from "vitest";
import { parseModel } from "../graph/text.ts";
import { verify } from "../graph/verify.ts";
import { foldConstants } from "./fold-constants.ts";

const operators = (model: ReturnType<typeof parseModel>) => [...model.graph.nodes()].map(({ op }) => op);

describe("fold-constants", () => {
  it("stores the result of what depends on stored tensors alone, under its name", async () => {
    const model = parseModel(`opset 21
graph (x: float32[1, 6]) -> (y) {
  w: float32[2, 3, 4] = random(seed 1)
  shape: int64[2] = [6, 4]
  flat = Reshape (w, shape)
  y = MatMul (x, flat)
}`);
    const { changes } = await foldConstants(model);
    expect(changes.map(({ at }) => at)).toEqual(['Reshape "flat"']);
    expect(operators(model)).toEqual(["MatMul"]);
    expect(model.graph.value("flat")?.tensor?.dims).toEqual([6, 4]);
    expect(model.graph.value("w")).toBeUndefined();
    expect(verify(model)).toEqual([]);
  });

  it("goes through chains at once", async () => {
    const model = parseModel(`opset 21
graph (x: float32[2]) -> (y) {
  a: float32[2] = [1, 2]
  b = Neg (a)
  c = Exp (b)
  y = Add (x, c)
}`);
    await foldConstants(model);
    expect(operators(model)).toEqual(["Add"]);
    const folded = await model.graph.value("c")?.tensor?.read();
    expect(Array.from(folded?.data as Float32Array)).toEqual([Math.fround(Math.exp(-1)), Math.fround(Math.exp(-2))]);
  });

  it("does not store a tied weight a second time, whatever its size", async () => {
    const model = parseModel(`opset 21
graph (i: int64[n], x: float32[n, 8]) -> (y: float32[n, 64]) {
  table: float32[64, 8] = random(seed 1)
  e = Gather (table, i)
  h = Add (e, x)
  t = Transpose (table) {perm=[1, 0]}
  y = MatMul (h, t)
}`);
    expect((await foldConstants(model)).changes).toEqual([]);
    expect(operators(model)).toEqual(["Gather", "Add", "Transpose", "MatMul"]);
  });

  it.each([
    ["a mask", "w_mask: float32[2] mask = [1, 0]", "w = Mul (v, w_mask)"],
    ["a parameter", "w_orig: float32[2] parameter = [1, 0]", "w = Mul (v, w_orig)"],
    ["weights in 8 bits", "q: int8[2] = [1, 2]\n  s: float32[] = [0.5]", "w = DequantizeLinear (q, s)"],
    [
      "a bias as integers with a scale",
      "q: int32[2] = [1, 2]\n  s: float32[2] = [0.5, 2]",
      "w = DequantizeLinear (q, s) {axis=0}",
    ],
    ["an expansion of more than 64 KiB", "one: float32[] = [1]\n  n: int64[1] = [65536]", "w = Expand (one, n)"],
  ])("leaves %s alone", async (_, stored, node) => {
    const model = parseModel(`opset 21
graph (x: float32[]) -> (y) {
  v: float32[2] = [3, 4]
  ${stored}
  ${node}
  y = Mul (x, w)
}`);
    const before = operators(model);
    expect((await foldConstants(model)).changes).toEqual([]);
    expect(operators(model)).toEqual(before);
  });

  it("turns integers without a scale into floats: arithmetic on shapes", async () => {
    const model = parseModel(`opset 21
graph (x: float32[2]) -> (y) {
  n: int32[2] = [3, 4]
  f = Cast (n) {to=1}
  y = Mul (x, f)
}`);
    await foldConstants(model);
    expect(operators(model)).toEqual(["Mul"]);
  });

  it("leaves what depends on an input alone", async () => {
    const model = parseModel(`opset 21
graph (x: float32[2]) -> (y) {
  y = Neg (x)
}`);
    expect((await foldConstants(model)).changes).toEqual([]);
  });

  it("keeps the name of an output of the graph", async () => {
    const model = parseModel(`opset 21
graph (x: float32[2]) -> (y, z) {
  a: float32[2] = [1, 2]
  z = Neg (a)
  y = Neg (x)
}`);
    await foldConstants(model);
    expect(model.graph.outputs.map(({ name }) => name)).toEqual(["y", "z"]);
    expect(verify(model)).toEqual([]);
  });
});
