import { describe, expect, it } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel, printModel } from "../../core/graph/text.ts";
import { compareOutputs } from "../../judge/compare/equivalence.ts";
import { simplify } from "./simplify.ts";

/** Padding that depends on the shape in name only, before a window of two by two. */
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

describe("padding before a pool", () => {
  it.each(["MaxPool", "AveragePool"])(
    "by more than the window of %s stays computed: ONNX Runtime loads no other",
    async (pool) => {
      const [original, simpler] = [padded(4, pool), padded(4, pool)];
      await simplify(simpler);
      expect(printModel(simpler)).toMatch(/= Shape ?\(/);
      expect(await compareOutputs(createEngine(), original, simpler)).toMatchObject({ difference: 0 });
    },
  );

  it("by less is stored", async () => {
    const [original, simpler] = [padded(1, "MaxPool"), padded(1, "MaxPool")];
    await simplify(simpler);
    expect([...simpler.graph.nodes()].map(({ op }) => op)).toEqual(["Relu", "Pad", "MaxPool"]);
    expect(await compareOutputs(createEngine(), original, simpler)).toMatchObject({ difference: 0 });
  });
});
