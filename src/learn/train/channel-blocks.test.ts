import { expect, test } from "vitest";
import { noise } from "../../../test/noise.ts";
import { infer } from "../../core/analysis/infer.ts";
import type { Engine } from "../../core/engine/engine.ts";
import { createEngine } from "../../core/engine/index.ts";
import { PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { channelsPerBlock, writeInChannelBlocks } from "./channel-blocks.ts";
import { differentiate } from "./differentiate.ts";

const engine = createEngine();
const blockSize = await channelsPerBlock(engine);
const block = blockSize ?? 16;

const blockedNodes = (model: Model, name = "Conv"): number =>
  [...model.graph.nodes()].filter(({ domain, op }) => domain === "com.microsoft.nchwc" && op === name).length;

async function results(model: Model, feeds: Batch): Promise<Batch> {
  const session = await engine.load(model, { optimize: false, threads: 1 });
  const outputs = await session.run(feeds);
  await session.release();
  return outputs;
}

function expectNear(actual: Dense | undefined, expected: Dense | undefined, tolerance = 1e-5): void {
  const [a, b] = [actual?.data as Float32Array, expected?.data as Float32Array];
  expect(actual?.dims).toEqual(expected?.dims);
  const largest = b.reduce((maximum, value) => Math.max(maximum, Math.abs(value)), 0);
  a.forEach((value, index) => {
    if (Math.abs(value - (b[index] ?? Number.NaN)) > tolerance * largest)
      throw new Error(`${value} at ${index}, not ${b[index]}`);
  });
}

test("channelBlock returns the block size, or undefined without blocked operators", async () => {
  expect([8, 16, undefined]).toContain(await channelsPerBlock(engine));
  const without: Engine = { load: () => Promise.reject(new PithError("E_ENGINE", "There is no kernel of that name.")) };
  expect(await channelsPerBlock(without)).toBeUndefined();
});

test.skipIf(blockSize === undefined).each([
  { x: [2, 16, 7, 6], w: [32, 16, 3, 3], settings: "pads=[1, 1, 1, 1]" },
  { x: [2, 30, 7, 6], w: [27, 30, 3, 3], settings: "pads=[1, 0, 1, 2]" },
  { x: [16, 32, 9, 8], w: [16, 32, 2, 3], settings: "strides=[2, 1], dilations=[2, 2]" },
  { x: [2, 5, 9, 8], w: [32, 5, 5, 5], settings: 'auto_pad="SAME_UPPER"' },
  { x: [2, 16, 9, 8], w: [16, 1, 3, 3], settings: "group=16, strides=[2, 2], pads=[1, 1, 1, 1]" },
  { x: [2, 18, 8, 8], w: [18, 1, 3, 3], settings: "group=18, strides=[2, 1], pads=[1, 1, 1, 1]" },
  { x: [1, 16, 11, 8], w: [16, 1, 3, 3], settings: "group=16, strides=[3, 2]" },
])("computes equal outputs and gradients in blocks: $x by $w with $settings", async ({ x, w, settings }) => {
  const outputs = w[0] ?? 1;
  const model = parseModel(`opset 18
graph (x: float32[${x}]) -> (loss) {
  w: float32[${w}] = random(seed 1)
  data: float32[${x}] = random(seed 2)
  bias: float32[${outputs}] = random(seed 3)
  moved = Add (x, data)
  y = Conv (moved, w, bias) {${settings}}
  bent = Tanh (y)
  loss = ReduceSum (bent) {keepdims=0}
}`);
  const { steps, found, wanted } = await bothWays(model, ["w", "data", "bias"], noise(x, "x"));
  expect(steps.map((step) => blockedNodes(step) > 0)).toEqual([false, true]);
  expect(Object.keys(found)).toHaveLength(4);
  for (const [name, value] of Object.entries(wanted)) expectNear(found[name], value);
});

test
  .skipIf(blockSize === undefined)
  .each([
    "int64[] = 2",
    "int64[1] = [3]",
    `int64[32, 1, 1] = [${Array.from({ length: 32 }, (_, index) => 1 + (index % 3))}]`,
  ])("accepts integer exponents of another type between convolutions: %s", async (exponent) => {
  const model = parseModel(`opset 18
graph (x: float32[2, 32, 7, 6]) -> (loss) {
  w0: float32[32, 32, 3, 3] = random(seed 1)
  w1: float32[32, 32, 3, 3] = random(seed 2)
  exponent: ${exponent}
  y0 = Conv (x, w0) {pads=[1, 1, 1, 1]}
  power = Pow (y0, exponent)
  y1 = Conv (power, w1) {pads=[1, 1, 1, 1]}
  bent = Tanh (y1)
  loss = ReduceSum (bent) {keepdims=0}
}`);
  const { steps, found, wanted } = await bothWays(model, ["w0", "w1"], noise([2, 32, 7, 6], "x"));
  expect(steps.map((step) => blockedNodes(step) > 0)).toEqual([false, true]);
  for (const [name, value] of Object.entries(wanted)) expectNear(found[name], value, 1e-4);
});

/** Runs a training step of the model without and with blocks, differentiated by the named tensors. */
async function bothWays(model: Model, names: readonly string[], x: Dense) {
  infer(model);
  const wrt = ({ name }: { name: string }): boolean => names.includes(name);
  const steps = [undefined, block].map(
    (channelBlock) => differentiate(model, { loss: "loss", wrt, channelBlock }).step,
  ) as [Model, Model];
  const feeds: Record<string, Dense> = { x };
  for (const name of names) feeds[name] = (await model.graph.value(name)?.tensor?.read()) as Dense;
  const [expected, actual] = [await results(steps[0], feeds), await results(steps[1], feeds)];
  return { steps, found: actual, wanted: expected };
}

/** Returns two convolutions with batch normalization and a residual sum. */
const residual = (channels: number, mean: number): Model =>
  parseModel(`opset 18
graph (x: float32[16, ${channels}, 6, 5]) -> (loss) {
  w0: float32[${channels}, ${channels}, 3, 3] = random(seed 1)
  w1: float32[${channels}, ${channels}, 3, 3] = random(seed 2)
  scale: float32[${channels}] = random(seed 3)
  bias: float32[${channels}] = random(seed 4)
${["mean0", "mean1", "variance0", "variance1"].map((name) => `  ${name}: float32[${channels}] = zeros`).join("\n")}
  level: float32[] = [${mean}]
  data: float32[16, ${channels}, 6, 5] = random(seed 5)
  moved = Add (x, data)
  y0 = Conv (moved, w0) {pads=[1, 1, 1, 1]}
  z0 = Add (y0, level)
  n0, m0, v0 = BatchNormalization (z0, scale, bias, mean0, variance0) {momentum=0.0, training_mode=1}
  r0 = Relu (n0)
  y1 = Conv (r0, w1) {pads=[1, 1, 1, 1]}
  n1, m1, v1 = BatchNormalization (y1, scale, bias, mean1, variance1) {momentum=0.0, training_mode=1}
  sum = Add (n1, moved)
  r1 = Relu (sum)
  pooled = GlobalAveragePool (r1)
  bent = Tanh (pooled)
  loss = ReduceSum (bent) {keepdims=0}
}`);

const trained = ["w0", "w1", "scale", "bias", "data"];

test.skipIf(blockSize === undefined)(
  "normalization, rectifiers and sums stay in blocks between convolutions",
  async () => {
    const { steps, found, wanted } = await bothWays(residual(32, 0), trained, noise([16, 32, 6, 5], "x"));
    for (const [name, value] of Object.entries(wanted)) expectNear(found[name], value, 1e-4);
    const [, blocked] = steps;
    const large = [...blocked.graph.nodes()].filter(({ outputs: [y] }) => y?.type?.dims?.length === 4);
    const ops = large.map(({ op, domain }) => domain + op);
    expect(ops).not.toContain("BatchNormalization");
    expect(ops).not.toContain("Relu");
    // Four reorders: the input, the pooling's gradient, the pooled values, and the gradient by the data.
    expect(blockedNodes(blocked, "ReorderOutput")).toBeLessThanOrEqual(4);
  },
);

test.skipIf(blockSize === undefined)("loses few digits of statistics with a mean of a hundred deviations", async () => {
  const { found, wanted } = await bothWays(residual(16, 100), trained, noise([16, 16, 6, 5], "x"));
  expectNear(found.loss, wanted.loss, 1e-4);
});

test.skipIf(blockSize === undefined)("normalizes channels that do not fill blocks without blocks", async () => {
  const { steps, found, wanted } = await bothWays(residual(30, 0), trained, noise([16, 30, 6, 5], "x"));
  for (const [name, value] of Object.entries(wanted)) expectNear(found[name], value, 1e-4);
  expect([...steps[1].graph.nodes()].some(({ op }) => op === "BatchNormalization")).toBe(true);
});

test.each([
  { x: "float32[2, 16, 8, 8]", w: "float32[16, 16, 1, 1]", why: "a kernel of one place" },
  { x: "float32[2, 16, 8, 8]", w: "float32[5, 16, 3, 3]", why: "blocks that would be mostly empty" },
  { x: "float32[2, 16, 8]", w: "float32[16, 16, 3]", why: "one spatial axis" },
  { x: "float64[2, 16, 8, 8]", w: "float64[16, 16, 3, 3]", why: "doubles" },
])("does not block $why", ({ x, w }) => {
  const model = parseModel(`opset 18
graph (x: ${x}, w: ${w}) -> (y) {
  y = Conv (x, w)
}`);
  writeInChannelBlocks(model, infer(model), 16);
  expect([...model.graph.nodes()].map(({ op, domain }) => domain + op)).toEqual(["Conv"]);
});
