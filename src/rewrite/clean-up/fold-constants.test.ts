import { describe, expect, it } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { foldConstants } from "./fold-constants.ts";

const operators = (model: ReturnType<typeof parseModel>) => [...model.graph.nodes()].map(({ op }) => op);

describe("fold-constants", () => {
  it("stores the result of nodes that read only stored tensors, with the same name", async () => {
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

  it("folds a chain of nodes", async () => {
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

  it("does not store a tied weight twice, even if it is small", async () => {
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
    ["a draw", "p: float32[1, 2] = [[1, 0]]", "w = Multinomial (p) {dtype=6, sample_size=2}"],
    ["an operator without a definition", "", "w: float32[2] = LpNormalization (v)"],
    ["a mask", "w_mask: float32[2] mask = [1, 0]", "w = Mul (v, w_mask)"],
    ["a parameter", "w_orig: float32[2] parameter = [1, 0]", "w = Mul (v, w_orig)"],
    ["weights in 8 bits", "q: int8[2] = [1, 2]\n  s: float32[] = [0.5]", "w = DequantizeLinear (q, s)"],
    [
      "a bias as integers with a scale",
      "q: int32[2] = [1, 2]\n  s: float32[2] = [0.5, 2]",
      "w = DequantizeLinear (q, s) {axis=0}",
    ],
    ["weights in 16 bits", "h: float16[64] = random(seed 1)", "w = Cast (h) {to=1}"],
    ["an expanded constant", "one: float32[] = [1]\n  n: int64[1] = [300]", "w = Expand (one, n)"],
    [
      "an expanded constant that grows the file by a few bytes",
      "one: float32[] = [1]\n  n: int64[1] = [32]",
      "w = Expand (one, n)",
    ],
  ])("does not fold %s", async (_, stored, node) => {
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

  /** Returns a weight times a scale that is expanded to the weight's size, as some quantizers write it. */
  const filled = (weight: string, end: string) =>
    parseModel(`opset 21
graph (x: float32[n, 64]) -> (y) {
  ${weight}
  scale: float32[1, 64] = random(seed 2)
  shape = Shape (w)
  zeros = ConstantOfShape (shape)
  full = Add (scale, zeros)
  ${end}
}`);

  it("does not store an expanded scale of quantized values", async () => {
    const model = filled(
      "w: int8[64, 64] = random(seed 1, from -9 to 9)",
      "f = Cast (w) {to=1}\n  v = Mul (f, full)\n  y = MatMul (x, v)",
    );
    await foldConstants(model);
    expect(operators(model)).toEqual(["Shape", "ConstantOfShape", "Add", "Cast", "Mul", "MatMul"]);
    expect(verify(model)).toEqual([]);
  });

  it("folds an expanded scale of a weight, but not one of an input", async () => {
    const chain = filled("w: float32[64, 64] = random(seed 1)", "v = Mul (w, full)\n  y = MatMul (x, v)");
    await foldConstants(chain);
    expect(operators(chain)).toEqual(["MatMul"]);
    const fed = filled("w: float32[64, 64] = random(seed 1)", "v = MatMul (x, full)\n  y = MatMul (v, w)");
    await foldConstants(fed);
    expect(operators(fed)).toEqual(["Shape", "ConstantOfShape", "Add", "MatMul", "MatMul"]);
  });

  it("does not store an expansion that only a larger expansion reads", async () => {
    const model = parseModel(`opset 21
graph (x: float32[]) -> (y) {
  one: float32[] = [1]
  n: int64[1] = [1024]
  four: int64[1] = [17]
  some = Expand (one, n)
  more = Tile (some, four)
  y = Mul (x, more)
}`);
    expect((await foldConstants(model)).changes).toEqual([]);
  });

  it("stores a result larger than its operands only if other results save more", async () => {
    const parts = (size: number) =>
      parseModel(`opset 21
graph (x: float32[100], z: float32[${size}]) -> (y, s) {
  one: float32[] = [1]
  n: int64[1] = [100]
  a: float32[${size}] = random(seed 1)
  b: float32[${size}] = random(seed 2)
  w = Expand (one, n)
  y = Mul (x, w)
  c = Mul (a, b)
  s = Add (z, c)
}`);
    for (const [size, kept] of [
      [1, ["Expand", "Mul", "Add"]],
      [128, ["Mul", "Add"]],
    ] as const) {
      const model = parts(size);
      await foldConstants(model);
      expect(operators(model)).toEqual(kept);
    }
  });

  it("does not store expansions whose sum exceeds the removed tensors", async () => {
    const fills = Array.from(
      { length: 20 },
      (_, index) => `  w${index} = Expand (one, n)\n  y${index} = Mul (x, w${index})`,
    );
    const model = parseModel(`opset 21
graph (x: float32[200]) -> (${Array.from({ length: 20 }, (_, index) => `y${index}`).join(", ")}) {
  one: float32[] = [1]
  n: int64[1] = [200]
${fills.join("\n")}
}`);
    expect((await foldConstants(model)).changes).toEqual([]);
  });

  it("does not let a chain of expansions grow step by step", async () => {
    const model = parseModel(`opset 21
graph (x: float32[]) -> (y) {
  one: float32[16] = random(seed 1)
  times: int64[1] = [1000]
  twice: int64[1] = [2]
  most = Tile (one, times)
  more = Tile (most, twice)
  y = Mul (x, more)
}`);
    expect((await foldConstants(model)).changes).toEqual([]);
  });

  it("stores a transposed weight from which quantized values are subtracted", async () => {
    const model = parseModel(`opset 21
graph (x: float32[n, 64]) -> (y) {
  w: float32[64, 64] = random(seed 1)
  q: int8[64, 64] = random(seed 2, from -9 to 9)
  t = Transpose (w) {perm=[1, 0]}
  f = Cast (q) {to=1}
  v = Sub (t, f)
  y = MatMul (x, v)
}`);
    await foldConstants(model);
    expect(operators(model)).toEqual(["Cast", "Sub", "MatMul"]);
  });

  it("folds a Cast of integers without a scale", async () => {
    const model = parseModel(`opset 21
graph (x: float32[2]) -> (y) {
  n: int32[2] = [3, 4]
  f = Cast (n) {to=1}
  y = Mul (x, f)
}`);
    await foldConstants(model);
    expect(operators(model)).toEqual(["Mul"]);
  });

  it("does not fold nodes that depend on an input", async () => {
    const model = parseModel(`opset 21
graph (x: float32[2]) -> (y) {
  y = Neg (x)
}`);
    expect((await foldConstants(model)).changes).toEqual([]);
  });

  it("keeps the name of a graph output", async () => {
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
