import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { factorize } from "../../../src/techniques/factorize/index.ts";
import { value } from "../../find.ts";

test("measures the layers of a model of IR 3, whose weights are also inputs", async () => {
  const model = parseModel(`ir 3, opset 9
graph (x: float32[n, 8]) -> (y) {
  w: float32[8, 8] = random(seed 1)
  v: float32[8, 8] = random(seed 2)
  h = MatMul "a" (x, w)
  r = Relu(h)
  y = MatMul "b" (r, v)
}`);
  model.graph.setInputs([...model.graph.inputs, value(model, "w"), value(model, "v")]);
  const data = memory("waves", {
    x: float32(
      [32, 8],
      Float32Array.from({ length: 256 }, (_, at) => Math.sin(at * at)),
    ),
  });
  const { changes } = await factorize(model, { rank: 2, activations: "whitening", data });
  expect(changes.map(({ at }) => at)).toEqual(["a", "b"]);
});
