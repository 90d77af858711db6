import { expect, test } from "vitest";
import { infer } from "../../core/analysis/infer.ts";
import { parseModel, printModel } from "../../core/graph/text.ts";
import { atomically } from "../../core/pass/run-pass.ts";
import { storeWeights, withStoredWeights } from "./store-constants.ts";

/** Layers with one shared matrix, which exporters write as `Identity(w)`. */
const shared = `opset 17
graph (x: float32[n, 2]) -> (y) {
  w: float32[2, 2] = [1, 2, 3, 4]
  c = Constant() {value=float32[2, 2] [5, 6, 7, 8]}
  copy = Identity(w)
  again = Identity(copy)
  d = Identity(c)
  a = MatMul(x, w)
  b = MatMul(a, again)
  e = MatMul(b, copy)
  y = MatMul(e, d)
}`;

test("storeWeights replaces an Identity of a weight by the weight", () => {
  const model = parseModel(shared);
  storeWeights(model);
  expect([...model.graph.nodes()].map(({ inputs }) => inputs[1]?.name)).toEqual(["w", "w", "w", "c"]);
});

test.each([
  ["nothing changed", async () => ({ changes: [], misses: [] })],
  [
    "the work failed",
    async () => {
      throw new Error("no");
    },
  ],
])("atomically restores Identity nodes if %s", async (_, work) => {
  const model = parseModel(shared);
  infer(model);
  const before = printModel(model);
  const nodes = [...model.graph.nodes()];
  const stored = async () => {
    storeWeights(model);
    return work();
  };
  await atomically(model, stored).catch(() => {});
  expect([...model.graph.nodes()]).toEqual(nodes);
  expect(printModel(model)).toBe(before);
});

test("storeWeights keeps an Identity that is an output of the model", () => {
  const model = parseModel(`opset 17
graph (x: float32[n, 2]) -> (y, copy) {
  w: float32[2, 2] = [1, 2, 3, 4]
  copy = Identity(w)
  y = MatMul(x, copy)
}`);
  storeWeights(model);
  expect([...model.graph.nodes()].map(({ op }) => op)).toEqual(["Identity", "MatMul"]);
});

test("a model whose weights are stored is its own copy with stored weights; others are copied once", () => {
  const model = parseModel(shared);
  infer(model);
  const before = printModel(model);
  const copy = withStoredWeights(model);
  expect([...copy.graph.nodes()].map(({ inputs }) => inputs[1]?.name)).toEqual(["w", "w", "w", "c"]);
  expect(withStoredWeights(model)).toBe(copy);
  expect(withStoredWeights(copy)).toBe(copy);
  expect(printModel(model)).toBe(before);
});
