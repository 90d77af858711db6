import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { decaysOf, trainedValues } from "./trained-values.ts";

/** Returns the names of trained tensors with weight decay. */
function decaying(text: string): readonly string[] {
  const model = parseModel(`opset 18\n${text}`);
  const decays = decaysOf(model);
  const names = [...trainedValues(model, {})];
  return names.filter((name) => decays(name, model.graph.value(name)?.tensor?.dims ?? [])).sort();
}

test.each([
  ["LSTM", 8],
  ["GRU", 6],
  ["RNN", 2],
] as const)("biases of %s layers do not decay, in one direction or both", (op, gates) => {
  for (const [directions, direction] of [
    [1, "forward"],
    [2, "bidirectional"],
  ] as const) {
    const rows = (gates / 2) * 3;
    expect(
      decaying(`graph (x: float32[T, batch, 4]) -> (y) {
  w: float32[${directions}, ${rows}, 4] = random(seed 1)
  r: float32[${directions}, ${rows}, 3] = random(seed 2)
  b: float32[${directions}, ${2 * rows}] = random(seed 3)
  y = ${op}(x, w, r, b) {direction="${direction}", hidden_size=3}
}`),
    ).toEqual(["r", "w"]);
  }
});

test("matrices, tables and positions decay, but not scales and shifts over several axes", () => {
  expect(
    decaying(`graph (ids: int64[batch, 5]) -> (y) {
  table: float32[7, 4] = random(seed 1)
  places: float32[5, 4] = random(seed 2)
  scale: float32[5, 4] = random(seed 3)
  shift: float32[5, 4] = random(seed 4)
  w: float32[4, 3] = random(seed 5)
  b: float32[3] = random(seed 6)
  e = Gather(table, ids)
  p = Add(e, places)
  n = LayerNormalization(p, scale, shift) {axis=1}
  m = MatMul(n, w)
  y = Add(m, b)
}`),
  ).toEqual(["places", "table", "w"]);
});

test("a bias that is stored as a matrix does not decay", () => {
  expect(
    decaying(`graph (x: float32[2, 4]) -> (y) {
  w: float32[4, 3] = random(seed 1)
  c: float32[2, 3] = random(seed 2)
  y = Gemm(x, w, c)
}`),
  ).toEqual(["w"]);
});
