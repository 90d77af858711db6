import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { neighborSums } from "../../../src/techniques/quantize/weights/scales-without-overflow.ts";
import { numbersFor, stored } from "./networks.ts";

const layer = (input: string, output: string, weight: string, node: string) =>
  parseModel(`opset 17
graph (x: float32[${input}]) -> (y: float32[${output}]) {
  w: float32[${weight}] = random(seed 5)
  y = ${node}
}`);

const product = [12, 30] as const;
const networks = [
  ["a product", [4, 12], () => layer("4, 12", "4, 30", "12, 30", "MatMul(x, w)"), product, 1, 0, 1],
  [
    "a product with a transposed weight",
    [4, 12],
    () => layer("4, 12", "4, 30", "30, 12", "Gemm(x, w) {transB=1}"),
    [30, 12],
    0,
    1,
    1,
  ],
  [
    "a convolution",
    [1, 5, 6, 6],
    () => layer("1, 5, 6, 6", "1, 7, 4, 4", "7, 5, 3, 3", "Conv(x, w)"),
    [7, 5, 3, 3],
    0,
    1,
    1,
  ],
  [
    "a grouped convolution",
    [1, 6, 6, 6],
    () => layer("1, 6, 6, 6", "1, 8, 4, 4", "8, 3, 3, 3", "Conv(x, w) {group=2}"),
    [8, 3, 3, 3],
    0,
    1,
    2,
  ],
] as const;

test.each([...networks.map((one) => ["static", ...one] as const), ["dynamic", ...networks[0]] as const])(
  "%s: adjacent quantized values of %s add up to at most 128, single ones exceed 64",
  async (scheme, _, dims, network, weight, axis, inputs, groups) => {
    const model = network();
    const data = memory("x", { x: numbersFor([...dims]) });
    await quantize(model, { scheme, biasCorrection: "none", ...(scheme === "static" ? { data } : {}) });
    const codes = await stored(model, "w_quantized");
    expect(codes.type).toBe("int8");
    const numbers = float32([...weight], toNumbers(codes).map(Number));
    expect(
      Math.max(...neighborSums(numbers, axis, { in: inputs, groups }, scheme === "static" ? "fused" : "all")),
    ).toBeLessThanOrEqual(128);
    expect(Math.max(...numbers.data.map(Math.abs))).toBeGreaterThan(64);
  },
);

test("neighborSums adds adjacent values, in storage order and across channels", () => {
  // One output with 2 channels and 3 positions.
  const weight = float32([1, 2, 3], [1, 2, -5, -1, 4, 0]);
  // In storage order, -5 - 1; at one position, 2 + 4.
  expect([...neighborSums(weight, 0, { in: 1, groups: 1 })]).toEqual([6]);
  expect([...neighborSums(float32([1, 2, 3], [3, 4, 0, 0, 1, 0]), 0, { in: 1, groups: 1 })]).toEqual([7]);
  expect([...neighborSums(float32([1, 2, 3], [3, 4, 0, 0, 1, 0]), 0, { in: 1, groups: 1 }, "fused")]).toEqual([5]);
  // 7 + 0 is no larger than the weight 7 by itself.
  expect([...neighborSums(float32([4, 2], [3, -1, -3, -2, 2, 7, 1, 0]), 1, { in: 0, groups: 1 })]).toEqual([3, 7]);
});

test("neighborSums adds the values 2i and 2i + 1 of an output, which a kernel adds in 16 bits", () => {
  expect([...neighborSums(float32([5, 1], [1, 2, 9, 3, 20]), 1, { in: 0, groups: 1 })]).toEqual([12]);
});

test("stores multiples of one step exactly, up to 127 of them, if neighbors allow it", async () => {
  const steps = [100, -3, 27, -100, 5, 60, 7, -90];
  const model = parseModel(`opset 17
graph (x: float32[n, 8]) -> (y: float32[n, 1]) {
  w: float32[8, 1] = [${steps.map((step) => `[${0.25 * step}]`)}]
  y = MatMul(x, w)
}`);
  await quantize(model, { scheme: "dynamic" });
  expect(toNumbers(await stored(model, "w_quantized"))).toEqual(steps);
});

test("has no neighbors in a depthwise convolution with a fused integer kernel", () => {
  const weight = float32([2, 1, 1, 3], [1, 2, 3, -4, -5, 6]);
  expect([...neighborSums(weight, 0, { in: 1, groups: 2 }, "fused")]).toEqual([0, 0]);
  expect([...neighborSums(weight, 0, { in: 1, groups: 2 })]).toEqual([3, 9]);
});
