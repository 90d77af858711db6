import { expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { quantize } from "../../techniques/quantize/index.ts";
import { findHalfOverflow } from "./half-overflow.ts";

const engine = createEngine();
/** h is as large as its input times `scale`; the output is between 0 and 1 all the same. */
const network = (scale: number, inputs = "n"): Model =>
  parseModel(`opset 18
graph (x: float32[${inputs}, 4]) -> (y: float32[${inputs}, 4]) {
  a.weight: float32[4, 4] = [[${scale}, 0, 0, 0], [0, ${scale}, 0, 0], [0, 0, ${scale}, 0], [0, 0, 0, ${scale}]]
  b.weight: float32[4, 4] = [[1e-4, 0, 0, 0], [0, 1e-4, 0, 0], [0, 0, 1e-4, 0], [0, 0, 0, 1e-4]]
  h = MatMul(x, a.weight)
  r = Relu(h)
  s = MatMul(r, b.weight)
  y = Sigmoid(s)
}`);
const data = memory("rows", { x: float32([8, 4], new Float32Array(32).fill(40)) });

async function overflowOf(original: Model, options: Parameters<typeof quantize>[1]): Promise<string | undefined> {
  const result = original.clone();
  await quantize(result, options);
  return findHalfOverflow({ engine, original, result }, data);
}

test.each(["n", "1", "3"])(
  "finds values beyond float16 if the result computes in float16: batch %s",
  async (inputs) => {
    const half = { dtype: "fp16" } as const;
    expect(await overflowOf(network(4000, inputs), half)).toMatch(
      /^on the samples (MatMul|Relu) "[hr]" computes values up to 160 k in the original, above the float16 maximum of 65,504$/,
    );
    expect(await overflowOf(network(1000, inputs), half)).toBeUndefined();
  },
);

test.each(["stored", "in a node"])("ignores the values that a mask sets scores to: %s", async (where) => {
  const masked = parseModel(`opset 18
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  a.weight: float32[4, 4] = random(seed 1)
  ${where === "stored" ? "far: float32[] = -1e9" : "far = Constant() {value=float32[] -1e9}"}
  open: bool[4] = [true, true, false, true]
  h = MatMul(x, a.weight)
  s = Where(open, h, far)
  y = Softmax(s)
}`);
  expect(await overflowOf(masked, { dtype: "fp16" })).toBeUndefined();
});

test("finds no overflow in results that compute in float32", async () => {
  expect(await overflowOf(network(4000), { scheme: "float16" })).toBeUndefined();
  expect(await overflowOf(network(4000), { scheme: "weights" })).toBeUndefined();
});

const inside = {
  "a branch that is taken":
    "y = If(yes) {then_branch=graph () -> (s) { h = MatMul(x, a); s = MatMul(h, b) }, else_branch=graph () -> (r) { r = Relu(x) }}",
  "a branch in a branch": `y = If(yes) {then_branch=graph () -> (t) {
      t = If(no) {then_branch=graph () -> (r) { r = Relu(x) }, else_branch=graph () -> (s) { h = MatMul(x, a); s = MatMul(h, b) }}
    }, else_branch=graph () -> (q) { q = Relu(x) }}`,
  "a loop": `y = Loop(turns, _, x) {body=graph (i: int64[], on: bool[], k: float32[n, 4]) -> (go, s) {
      go = Identity(on); h = MatMul(k, a); s = MatMul(h, b)
    }}`,
  "a scan with output axes": `y = Scan(x) {num_scan_inputs=1, scan_output_axes=[0], body=graph (k: float32[4]) -> (s) {
      h = MatMul(k, a); s = MatMul(h, b)
    }}`,
};

test.each(Object.entries(inside))("finds values beyond float16 in %s", async (_, node) => {
  const choice = (scale: number): Model =>
    parseModel(`opset 18
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  a: float32[4, 4] = [[${scale}, 0, 0, 0], [0, ${scale}, 0, 0], [0, 0, ${scale}, 0], [0, 0, 0, ${scale}]]
  b: float32[4, 4] = [[1e-3, 0, 0, 0], [0, 1e-3, 0, 0], [0, 0, 1e-3, 0], [0, 0, 0, 1e-3]]
  most = ReduceMax(x) {keepdims=0}
  nothing: float32[] = 0
  yes = Greater(most, nothing)
  no = Not(yes)
  turns: int64[] = [2]
  ${node}
}`);
  const run = async (scale: number): Promise<string | undefined> => {
    const [original, result] = [choice(scale), choice(scale)];
    await quantize(result, { dtype: "fp16" });
    return findHalfOverflow({ engine, original, result }, data);
  };
  expect(await run(4000)).toMatch(/^on the samples MatMul "h" computes values up to (16|64)0 k in the original/);
  expect(await run(900)).toBeUndefined();
});

test("ignores a network that is in float16 already", async () => {
  const half = parseModel(`opset 18
graph (x: float16[n, 4]) -> (y: float16[n, 4]) {
  a: float16[4, 4] = random(seed 1)
  y = MatMul(x, a)
}`);
  expect(await findHalfOverflow({ engine, original: half, result: half.clone() }, undefined)).toBeUndefined();
});

test("uses random inputs if there are no samples", async () => {
  const two = parseModel(`opset 18
graph (x: float32[n, 4]) -> (y: float32[n, 4]) {
  a: float32[4, 4] = random(seed 1, from 900 to 1000)
  b: float32[4, 4] = random(seed 2, from 900 to 1000)
  g = MatMul(x, a)
  h = MatMul(g, b)
  y = Sigmoid(h)
}`);
  const half = two.clone();
  await quantize(half, { dtype: "fp16" });
  expect(await findHalfOverflow({ engine, original: two, result: half }, undefined)).toMatch(
    /^on random inputs MatMul "h" computes values up to/,
  );
  expect(await findHalfOverflow({ engine, original: two, result: two.clone() }, undefined)).toBeUndefined();
});
