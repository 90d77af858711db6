/** Ranges of activations that differ by orders of magnitude from what is computed of them: the static scheme stays near float and runs. */
import { expect, test } from "vitest";
import { memory } from "../../src/data/index.ts";
import { parseModel } from "../../src/graph/text.ts";
import { quantize } from "../../src/quantize/index.ts";
import { float32 } from "../../src/tensor/dense.ts";
import type { Dense } from "../../src/tensor/types.ts";
import { numbersFor, operators, run } from "./networks.ts";

const scaled = (dims: readonly number[], factor: number, seed = 7): Dense<"float32"> => {
  const dense = numbersFor(dims, seed);
  return float32(
    dense.dims,
    Array.from(dense.data, (value) => value * factor),
  );
};

/** The largest error over the largest output, or over `size`, as written and optimized. */
async function errorOf(
  text: string,
  feeds: Readonly<Record<string, Dense>>,
  size?: number,
): Promise<readonly number[]> {
  const model = parseModel(text);
  const expected = await run(model, feeds);
  await quantize(model, { scheme: "static", data: memory("calibration", feeds) });
  expect(operators(model)).toContain("QuantizeLinear");
  const largest = size ?? expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const errors: number[] = [];
  for (const optimize of [false, true]) {
    const got = await run(model, feeds, { optimize });
    errors.push(
      got.reduce((most, value, index) => Math.max(most, Math.abs(value - (expected[index] ?? 0))), 0) / largest,
    );
  }
  return errors;
}

test.each([
  [
    "softmax",
    `opset 13
graph (x: float32[n, 8]) -> (y: float32[n, 10]) {
  w: float32[8, 10] = random(seed 1)
  h = Gemm "layer" (x, w)
  y = Softmax (h) {axis=-1}
}`,
    { x: scaled([64, 8], 0.01) },
  ],
  [
    "attention",
    `opset 13
graph (x: float32[n, 12, 8]) -> (y: float32[n, 12, 8]) {
  wq: float32[8, 8] = random(seed 1)
  wk: float32[8, 8] = random(seed 2)
  wv: float32[8, 8] = random(seed 3)
  wo: float32[8, 8] = random(seed 4)
  q = MatMul "q" (x, wq)
  k = MatMul "k" (x, wk)
  v = MatMul "v" (x, wv)
  kt = Transpose (k) {perm=[0, 2, 1]}
  s = MatMul (q, kt)
  p = Softmax (s) {axis=-1}
  a = MatMul (p, v)
  y = MatMul "o" (a, wo)
}`,
    { x: scaled([4, 12, 8], 0.1) },
  ],
  ...[1e-3, 1e-6, 1e-9, 1e-12].flatMap((small): [string, string, Record<string, Dense>][] => [
    [
      `sum with a term of ${small}`,
      `opset 13
graph (x: float32[n, 8], u: float32[n, 8]) -> (y: float32[n, 8]) {
  w: float32[8, 8] = random(seed 1)
  h = MatMul "layer" (x, w)
  y = Add (h, u)
}`,
      { x: scaled([4, 8], 1), u: scaled([4, 8], small, 3) },
    ],
    [
      `difference of equals up to ${small}`,
      `opset 13
graph (x: float32[n, 8], u: float32[n, 8]) -> (y: float32[n, 8]) {
  w: float32[8, 8] = random(seed 1)
  h = MatMul "layer" (x, w)
  s: float32[] = ${small}
  t = Mul (h, s)
  y = Add (t, u)
}`,
      { x: scaled([4, 8], 1), u: scaled([4, 8], small, 3) },
    ],
    [
      `product with a factor of ${small}`,
      `opset 13
graph (x: float32[n, 8], u: float32[n, 8]) -> (y: float32[n, 8]) {
  w: float32[8, 8] = random(seed 1)
  h = MatMul "layer" (x, w)
  y = Mul (h, u)
}`,
      { x: scaled([4, 8], 1), u: scaled([4, 8], small, 3) },
    ],
    [
      `joined with numbers of ${small}`,
      `opset 13
graph (x: float32[n, 8], u: float32[n, 8]) -> (y: float32[n, 16]) {
  w: float32[8, 8] = random(seed 1)
  h = MatMul "layer" (x, w)
  y = Concat (h, u) {axis=-1}
}`,
      { x: scaled([4, 8], 1), u: scaled([4, 8], small, 3) },
    ],
  ]),
])("%s", async (_, text, feeds) => {
  for (const error of await errorOf(text, feeds)) expect(error).toBeLessThan(0.06);
});

test("the mean of centred numbers is 0 but for the steps of what is averaged", async () => {
  const text = `opset 13
graph (x: float32[n, 4, 6, 6]) -> (y: float32[n, 4, 1, 1]) {
  w: float32[4, 4, 1, 1] = random(seed 1)
  one: float32[4] = ones
  zero: float32[4] = zeros
  v: float32[4, 4, 1, 1] = random(seed 3)
  h = Conv "first" (x, w)
  c = InstanceNormalization (h, one, zero)
  d = Conv "second" (c, v)
  y = GlobalAveragePool (d)
}`;
  for (const error of await errorOf(text, { x: scaled([2, 4, 6, 6], 3) }, 1)) expect(error).toBeLessThan(0.01);
});
