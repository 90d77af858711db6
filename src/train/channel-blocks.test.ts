import { expect, test } from "vitest";
import { noise } from "../../test/noise.ts";
import { infer } from "../analysis/infer.ts";
import type { Engine } from "../engine/engine.ts";
import { createEngine } from "../engine/index.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { parseModel } from "../graph/text.ts";
import type { Batch, Dense } from "../tensor/types.ts";
import { channelBlock, writeInChannelBlocks } from "./channel-blocks.ts";
import { differentiate } from "./differentiate.ts";

const engine = createEngine();
const found = await channelBlock(engine);
const block = found ?? 16;

const blockedNodes = (model: Model): number =>
  [...model.graph.nodes()].filter(({ domain, op }) => domain === "com.microsoft.nchwc" && op === "Conv").length;

async function results(model: Model, feeds: Batch): Promise<Batch> {
  const session = await engine.load(model, { optimize: false, threads: 1 });
  const outputs = await session.run(feeds);
  await session.release();
  return outputs;
}

function expectNear(found: Dense | undefined, wanted: Dense | undefined): void {
  const [a, b] = [found?.data as Float32Array, wanted?.data as Float32Array];
  expect(found?.dims).toEqual(wanted?.dims);
  const largest = b.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  a.forEach((value, at) => {
    if (Math.abs(value - (b[at] ?? Number.NaN)) > 1e-5 * largest) throw new Error(`${value} at ${at}, not ${b[at]}`);
  });
}

test("the runtime says how many channels a block has; one without blocks has none", async () => {
  expect([8, 16, undefined]).toContain(await channelBlock(engine));
  const without: Engine = { load: () => Promise.reject(new PithError("E_ENGINE", "There is no kernel of that name.")) };
  expect(await channelBlock(without)).toBeUndefined();
});

test.skipIf(found === undefined).each([
  { x: [2, 16, 7, 6], w: [32, 16, 3, 3], settings: "pads=[1, 1, 1, 1]" },
  { x: [2, 30, 7, 6], w: [27, 30, 3, 3], settings: "pads=[1, 0, 1, 2]" },
  { x: [16, 32, 9, 8], w: [16, 32, 2, 3], settings: "strides=[2, 1], dilations=[2, 2]" },
  { x: [2, 5, 9, 8], w: [32, 5, 5, 5], settings: 'auto_pad="SAME_UPPER"' },
  { x: [2, 16, 9, 8], w: [16, 1, 3, 3], settings: "group=16, strides=[2, 2], pads=[1, 1, 1, 1]" },
  { x: [2, 18, 8, 8], w: [18, 1, 3, 3], settings: "group=18, strides=[2, 1], pads=[1, 1, 1, 1]" },
  { x: [1, 16, 11, 8], w: [16, 1, 3, 3], settings: "group=16, strides=[3, 2]" },
])("in blocks, $x by $w with $settings is the same, and so are its gradients", async ({ x, w, settings }) => {
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
  infer(model);
  const wrt = ({ name }: { name: string }): boolean => ["w", "data", "bias"].includes(name);
  const plain = differentiate(model, { loss: "loss", wrt });
  const blocked = differentiate(model, { loss: "loss", wrt, channelBlock: block });
  expect(blockedNodes(plain.step)).toBe(0);
  expect(blockedNodes(blocked.step)).toBeGreaterThan(0);
  const feeds: Record<string, Dense> = { x: noise(x, "x") };
  for (const value of plain.step.graph.feeds) {
    const tensor = model.graph.value(value.name)?.tensor;
    if (tensor !== undefined) feeds[value.name] = await tensor.read();
  }
  const [found, wanted] = [await results(blocked.step, feeds), await results(plain.step, feeds)];
  expect(Object.keys(found)).toHaveLength(4);
  for (const [name, value] of Object.entries(wanted)) expectNear(found[name], value);
});

test.each([
  { x: "float32[2, 16, 8, 8]", w: "float32[16, 16, 1, 1]", why: "a kernel of one place" },
  { x: "float32[2, 16, 8, 8]", w: "float32[5, 16, 3, 3]", why: "blocks that would be mostly empty" },
  { x: "float32[2, 16, 8]", w: "float32[16, 16, 3]", why: "one spatial axis" },
  { x: "float64[2, 16, 8, 8]", w: "float64[16, 16, 3, 3]", why: "doubles" },
])("$why stays as it is", ({ x, w }) => {
  const model = parseModel(`opset 18
graph (x: ${x}, w: ${w}) -> (y) {
  y = Conv (x, w)
}`);
  writeInChannelBlocks(model, infer(model), 16);
  expect([...model.graph.nodes()].map(({ op, domain }) => domain + op)).toEqual(["Conv"]);
});
