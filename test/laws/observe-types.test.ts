import { describe, expect, it } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { float32, int64 } from "../../src/core/tensor/dense.ts";
import { dimsText } from "../../src/core/tensor/dims.ts";
import { observeTypes } from "./observe-types.ts";

const engine = createEngine();

/** The rank of `s` depends on the branch, and so on the data. */
const net = () =>
  parseModel(`opset 21
graph (x: float32[batch, 3]) -> (y) {
  m = ReduceSum (x) {keepdims=0}
  c = Cast (m) {to=9}
  s = If (c) {then_branch=graph () -> (a) { a = Relu(x) }, else_branch=graph () -> (b) { b = ReduceSum(x) {keepdims=0} }}
  t = Neg (s)
  p = NonZero (x)
  w: float32[1, 3] = ones
  y = Add (t, w)
}`);

const feeds = { x: float32([2, 3], [1, 2, 3, 0, 0, 6]) };

describe("observeTypes", () => {
  it("observes types that inference does not know, and does not change the model", async () => {
    const model = net();
    const { types, misses } = await observeTypes(engine, model, feeds);
    expect([...types].map(([name, type]) => `${name}: ${type.type}${dimsText(type.dims)}`)).toEqual([
      "s: float32[2, 3]",
      "t: float32[2, 3]",
      "y: float32[2, 3]",
    ]);
    expect(misses).toEqual([]);
    expect([...model.graph.values()].filter((value) => value.inferred !== undefined)).toEqual([]);
    expect(model.graph.outputs.map(({ name }) => name)).toEqual(["y"]);
  });

  it("observes data-dependent sizes of named values", async () => {
    const { types, results } = await observeTypes(engine, net(), feeds, ["p"]);
    expect(types.get("p")).toEqual({ type: "int64", dims: [2, 4] });
    expect(results.p?.dims).toEqual([2, 4]);
  });

  it("observes bfloat16 values and sequence elements", async () => {
    const model = parseModel(`opset 21
graph (x: float32[2, 3], n: int64[]) -> (y) {
  h = Cast (x) {to=16}
  k = SplitToSequence (x, n)
  y = SequenceLength (k)
}`);
    const data = { x: float32([2, 3], new Float32Array(6)), n: int64([], [1]) };
    const { types, sequences, misses } = await observeTypes(engine, model, data, ["h", "k", "y"]);
    expect(types.get("h")).toEqual({ type: "bfloat16", dims: [2, 3] });
    expect([...types.keys()].sort()).toEqual(["h", "y"]);
    const row = { type: "float32", dims: [1, 3] };
    expect([...sequences]).toEqual([["k", [row, row]]]);
    expect(misses).toEqual([]);
  });

  it("rejects values that no node of the main graph produces", async () => {
    await expect(observeTypes(engine, net(), feeds, ["x"])).rejects.toThrow('No node of the main graph produces "x".');
    await expect(observeTypes(engine, net(), feeds, ["a"])).rejects.toThrow('No node of the main graph produces "a".');
  });
});
