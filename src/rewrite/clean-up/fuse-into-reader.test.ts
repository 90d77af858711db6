import { expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { structureHash } from "../../core/graph/structure-hash.ts";
import { parseModel } from "../../core/graph/text.ts";
import { assertValid } from "../../core/graph/verify.ts";
import { checkEquivalence } from "../../judge/compare/equivalence.ts";
import { fuseAffine } from "./fuse-batch-norm.ts";

const engine = createEngine();

const image = (lines: string, outputs = 4) => `opset 17
graph (x: float32[batch, 4, 6, 6]) -> (y: float32[...]) {
  conv.weight: float32[${outputs}, 4, 3, 3] = random(seed 1)
  conv.bias: float32[${outputs}] = random(seed 2)
  number: float32[] = [0.00392]
  channels: float32[4, 1, 1] = random(seed 3, from 0.5 to 2)
  columns: float32[6] = random(seed 4, from 0.5 to 2)
  tiny: float32[] = [1e-45]
  huge: float32[] = [3e38]
${lines}
}`;

const rows = (lines: string) => `opset 17
graph (x: float32[batch, steps, 5]) -> (y: float32[...]) {
  fc.weight: float32[5, 3] = random(seed 1)
  fc.bias: float32[3] = random(seed 2)
  inputs: float32[5] = random(seed 3, from 0.5 to 2)
  means: float32[5] = random(seed 4)
${lines}
}`;

test.each([
  [
    "one factor, with zero padding",
    image("  h = Mul(number, x)\n  y = Conv(h, conv.weight, conv.bias) {pads=[1, 1, 1, 1]}"),
  ],
  [
    "a divisor per channel, without a bias",
    image('  h = Div(x, channels)\n  y = Conv(h, conv.weight) {auto_pad="SAME_UPPER"}'),
  ],
  [
    "a difference and a quotient, without padding",
    image("  d = Sub(x, channels)\n  h = Div(d, channels)\n  y = Conv(h, conv.weight, conv.bias) {strides=[2, 2]}"),
  ],
  [
    "a shift of negated data",
    image('  h = Sub(channels, x)\n  y = Conv(h, conv.weight, conv.bias) {auto_pad="VALID"}'),
  ],
  [
    "batch normalization before a convolution with groups",
    `opset 17
graph (x: float32[batch, 4, 5, 5]) -> (y: float32[...]) {
  conv.weight: float32[6, 2, 3, 3] = random(seed 1)
  conv.bias: float32[6] = random(seed 2)
  scale: float32[4] = random(seed 11, from 0.5 to 1.5)
  shift: float32[4] = random(seed 12)
  mean: float32[4] = random(seed 13)
  variance: float32[4] = random(seed 14, from 0.2 to 3)
  h = BatchNormalization(x, scale, shift, mean, variance)
  y = Conv(h, conv.weight, conv.bias) {group=2}
}`,
  ],
  [
    "a factor per channel of a depthwise convolution",
    `opset 17
graph (x: float32[batch, 4, 5]) -> (y: float32[...]) {
  conv.weight: float32[8, 1, 3] = random(seed 1)
  factor: float32[1, 4, 1] = random(seed 11)
  h = Mul(x, factor)
  y = Conv(h, conv.weight) {group=4, pads=[1, 1]}
}`,
  ],
  [
    "a factor per channel of a transposed convolution with groups",
    `opset 17
graph (x: float32[batch, 4, 5, 5]) -> (y: float32[...]) {
  up.weight: float32[4, 3, 2, 2] = random(seed 1)
  factor: float32[4, 1, 1] = random(seed 11)
  h = Mul(x, factor)
  y = ConvTranspose(h, up.weight) {group=2, strides=[2, 2]}
}`,
  ],
  [
    "a shift before Gemm with alpha",
    `opset 17
graph (x: float32[batch, 5]) -> (y: float32[...]) {
  fc.weight: float32[3, 5] = random(seed 1)
  fc.bias: float32[3] = random(seed 2)
  shift: float32[5] = random(seed 11)
  h = Add(x, shift)
  y = Gemm(h, fc.weight, fc.bias) {transB=1, alpha=0.5}
}`,
  ],
  ["a factor per input before MatMul", rows("  h = Mul(x, inputs)\n  y = MatMul(h, fc.weight)")],
  [
    "a shift before MatMul and its bias",
    rows("  d = Sub(x, means)\n  h = Div(d, inputs)\n  p = MatMul(h, fc.weight)\n  y = Add(fc.bias, p)"),
  ],
])("folds %s into the layer after it", async (_, text) => {
  const model = parseModel(text);
  const original = model.clone();
  const { changes } = await fuseAffine(model, {}, { engine });
  expect(changes.length).toBeGreaterThan(0);
  expect(model.graph.nodeCount).toBe(original.graph.nodeCount - changes.length);
  expect([...model.graph.nodes()][0]?.op).toMatch(/Conv|Gemm|MatMul/);
  assertValid(model);
  const sizes = new Map([
    ["batch", 2],
    ["steps", 3],
  ]);
  const sameness = await checkEquivalence(engine, original, model, { sizes, seed: 1 });
  if (typeof sameness === "string") throw new Error(sameness);
  expect(sameness.difference).toBeLessThan(1e-5);
});

test.each([
  [
    "a shift with zero padding",
    image("  h = Add(x, channels)\n  y = Conv(h, conv.weight, conv.bias) {pads=[1, 0, 0, 0]}"),
  ],
  ["a shift with SAME padding", image('  h = Add(x, number)\n  y = Conv(h, conv.weight) {auto_pad="SAME_LOWER"}')],
  ["a shift before a transposed convolution", image("  h = Add(x, number)\n  y = ConvTranspose(h, conv.weight)")],
  ["a factor of another axis", image("  h = Mul(x, columns)\n  y = Conv(h, conv.weight)")],
  ["a value that another node reads", image("  h = Mul(x, number)\n  c = Conv(h, conv.weight)\n  y = Div(c, h)")],
  [
    "weights that overflow",
    image("  h = Mul(x, huge)\n  y = Conv(h, conv.weight, conv.bias)").replace("seed 1", "seed 1, from 2 to 3"),
  ],
  ["weights that underflow", image("  h = Mul(x, tiny)\n  y = Conv(h, conv.weight, conv.bias)")],
  ["a shift whose new bias is larger than the node", image("  h = Add(x, number)\n  y = Conv(h, conv.weight)", 64)],
  ["a shift before MatMul without a bias", rows("  h = Add(x, means)\n  y = MatMul(h, fc.weight)")],
  [
    "a shared weight",
    rows("  h = Mul(x, inputs)\n  a = MatMul(h, fc.weight)\n  b = MatMul(x, fc.weight)\n  y = Add(a, b)"),
  ],
  [
    "the scale of an input image",
    image("  h = Mul(x, number)\n  y = Conv(h, conv.weight)").replace("4, 6, 6", "3, 6, 6").replace("[4, 4,", "[4, 3,"),
  ],
  [
    "a trainable factor",
    rows("  h = Mul(x, inputs)\n  y = MatMul(h, fc.weight)").replace(
      "inputs: float32[5]",
      "inputs: float32[5] parameter",
    ),
  ],
  [
    "a layer whose output is quantized",
    image(
      "  h = Mul(x, number)\n  c = Conv(h, conv.weight)\n  q = QuantizeLinear(c, number)\n  y = DequantizeLinear(q, number)",
    ),
  ],
])("keeps %s", async (_, text) => {
  const model = parseModel(text);
  const before = structureHash(model);
  expect((await fuseAffine(model, {}, { engine })).changes).toEqual([]);
  expect(structureHash(model)).toBe(before);
});
