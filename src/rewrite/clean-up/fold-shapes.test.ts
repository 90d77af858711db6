import { describe, expect, it } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel, printModel } from "../../core/graph/text.ts";
import { checkEquivalence } from "../../judge/compare/equivalence.ts";
import { simplify } from "./simplify.ts";

/** Returns a 2 × 2 pool after padding that multiplies the shape by 0, so that it does not depend on it. */
const padded = (rows: number, pool: string) =>
  parseModel(`opset 17
graph (x: float32[n, 3, h, w]) -> (y: float32[...]) {
  r = Relu(x)
  s = Shape(r)
  z: int64[4] = [0, 0, 0, 0]
  none = Mul(s, z)
  f: int64[4] = [0, 0, ${rows}, 0]
  e = Add(none, f)
  pads = Concat(z, e) {axis=0}
  q = Pad(r, pads)
  y = ${pool}(q) {kernel_shape=[2, 2], strides=[2, 2]}
}`);

describe("simplify on padding before a pool", () => {
  it.each(["MaxPool", "AveragePool"])(
    "keeps it computed if it exceeds the window of %s, because ONNX Runtime would not load it",
    async (pool) => {
      const [original, simpler] = [padded(4, pool), padded(4, pool)];
      await simplify(simpler);
      expect(printModel(simpler)).toMatch(/= Shape ?\(/);
      expect(await checkEquivalence(createEngine(), original, simpler)).toMatchObject({ difference: 0 });
    },
  );

  it("stores it if it is smaller than the window", async () => {
    const [original, simpler] = [padded(1, "MaxPool"), padded(1, "MaxPool")];
    await simplify(simpler);
    expect([...simpler.graph.nodes()].map(({ op }) => op)).toEqual(["Relu", "Pad", "MaxPool"]);
    expect(await checkEquivalence(createEngine(), original, simpler)).toMatchObject({ difference: 0 });
  });
});

describe("simplify on a computed shape with an axis of 0", () => {
  /** Returns a Reshape of the named first axis and the product of the others, one of which is empty. */
  const reshaped = (end: number) =>
    parseModel(`opset 21
graph (x: float32[batch, 3, 4]) -> (y: float32[...]) {
  start: int64[1] = [0]
  end: int64[1] = [${end}]
  axis: int64[1] = [1]
  zero: int64[1] = [0]
  one: int64[1] = [1]
  two: int64[1] = [2]
  part = Slice(x, start, end, axis)
  s = Shape(part)
  batch = Gather(s, zero)
  rows = Gather(s, one)
  columns = Gather(s, two)
  rest = Mul(rows, columns)
  target = Concat(batch, rest) {axis=0}
  y = Reshape(part, target)
}`);

  it.each([0, 2])("stores it if the slice ends at %i", async (end) => {
    const [original, simpler] = [reshaped(end), reshaped(end)];
    await simplify(simpler);
    // With an axis of 0, no other axis can be inferred (-1), so the batch is copied (0).
    expect([...simpler.graph.nodes()].map(({ op }) => op)).toEqual(["Slice", "Reshape"]);
    expect(await checkEquivalence(createEngine(), original, simpler)).toMatchObject({ difference: 0 });
  });
});
