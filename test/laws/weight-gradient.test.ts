/** Law: all forms of a convolution's weight gradient compute the same values. */
import { expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { Miss } from "../../src/core/errors.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { createBlocks } from "../../src/core/ops/shared/channel-blocks.ts";
import { readConv } from "../../src/core/ops/shared/convolution.ts";
import { possibleForms, writeWeightGradient } from "../../src/core/ops/shared/weight-gradient.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import type { Dense } from "../../src/core/tensor/types.ts";
import { channelsPerBlock } from "../../src/learn/train/channel-blocks.ts";
import { noise } from "../noise.ts";
import { difference, engine } from "./harness.ts";

const shapes = [
  { x: [2, 3, 7, 6], w: [4, 3, 3, 3], settings: "pads=[1, 1, 1, 1]" },
  { x: [3, 2, 8, 8], w: [2, 2, 3, 2], settings: "strides=[2, 3], pads=[0, 1, 2, 0]" },
  { x: [2, 4, 6, 6], w: [3, 4, 1, 1], settings: "strides=[2, 2]" },
  { x: [2, 2, 9, 7], w: [3, 2, 2, 3], settings: "dilations=[3, 2], strides=[1, 2]" },
  { x: [1, 3, 5, 5], w: [2, 3, 5, 5], settings: "" },
  { x: [2, 3, 11], w: [2, 3, 4], settings: 'auto_pad="SAME_LOWER", strides=[3]' },
  { x: [2, 2, 4, 3, 5], w: [3, 2, 2, 2, 2], settings: "pads=[1, 0, 1, 0, 1, 0]" },
  { x: [2, 4, 7, 7], w: [4, 1, 3, 3], settings: "group=4, strides=[2, 2], pads=[1, 1, 1, 1]" },
  { x: [2, 4, 5], w: [4, 1, 3], settings: "group=4, dilations=[2]" },
  { x: [3, 5, 4, 3], w: [7, 5, 1, 1], settings: "" },
  { x: [2, 4, 6], w: [3, 4, 1], settings: "" },
  // The numbers of samples and of channels are multiples of the block size.
  { x: [16, 3, 7, 6], w: [4, 3, 3, 3], settings: "pads=[1, 1, 1, 1]" },
  { x: [32, 5, 8, 9], w: [33, 5, 3, 2], settings: "strides=[2, 3], pads=[0, 1, 2, 0]" },
  { x: [16, 2, 9, 8], w: [16, 2, 3, 3], settings: "strides=[2, 2], pads=[1, 1, 1, 1]" },
  { x: [16, 2, 9, 7], w: [3, 2, 2, 3], settings: "dilations=[3, 2], strides=[1, 2]" },
  { x: [16, 3, 6, 6], w: [6, 3, 1, 1], settings: "strides=[2, 2]" },
  { x: [3, 16, 7, 6], w: [16, 1, 3, 3], settings: "group=16, strides=[2, 2], pads=[1, 1, 1, 1]" },
  { x: [2, 18, 7, 9], w: [18, 1, 2, 3], settings: "group=18, dilations=[2, 1], pads=[0, 2, 1, 0]" },
];

const block = await channelsPerBlock(engine);

test.each(shapes)("$x by $w with $settings", async ({ x, w, settings }) => {
  const model = parseModel(`opset 18, com.microsoft 1
graph (x: float32[${x}], w: float32[${w}]) -> (y) {
  y = Conv (x, w) {${settings}}
}`);
  const inference = infer(model);
  const [node] = [...model.graph.nodes()];
  const y = node?.outputs[0];
  const [data, kernel] = node?.inputs ?? [];
  if (node === undefined || y === undefined || data === undefined || kernel === undefined) throw new Error("no node");
  const s = readConv(inference.site(node));
  if (s instanceof Miss) throw new Error(s.reason);
  const dims = y.type?.dims?.map(Number) ?? [];
  const up = model.graph.addInput("up", { type: "float32", dims });
  const emit = emitInto(model, { onNode: inference.visit });
  const forms = possibleForms(s, data, up, block);
  expect(forms.length).toBeGreaterThan(1);
  const blocks = block === undefined ? undefined : createBlocks(emit, block);
  const results = forms.map((form) =>
    emit.Identity([writeWeightGradient(s, emit, [data, kernel, up], { blocks, form })]),
  );
  model.graph.setOutputs(results);
  const session = await engine.load(model, { optimize: false, threads: 1 });
  const outputs = await session.run({ x: noise(x, "x"), w: noise(w, "w"), up: noise(dims, "up") });
  await session.release();
  const [first, ...otherForms] = results.map(({ name }) => outputs[name] as Dense);
  expect(first?.dims).toEqual(w);
  for (const other of otherForms) expect(difference(other, first as Dense)).toBeLessThan(1e-5);
});

test("the form of one product adds the previous gradient, multiplied by its factor", async () => {
  const model = parseModel(`opset 18
graph (x: float32[2, 3, 2, 2], w: float32[4, 3, 1, 1], before: float32[4, 3, 1, 1]) -> (y) {
  y = Conv (x, w)
}`);
  const inference = infer(model);
  const [node] = [...model.graph.nodes()];
  const [data, kernel] = node?.inputs ?? [];
  const before = model.graph.value("before");
  if (node === undefined || data === undefined || kernel === undefined || before === undefined) throw new Error("none");
  const s = readConv(inference.site(node));
  if (s instanceof Miss) throw new Error(s.reason);
  const up = model.graph.addInput("up", { type: "float32", dims: [2, 4, 2, 2] });
  const emit = emitInto(model, { onNode: inference.visit });
  const take = () => ({ value: before, factor: 0.5 });
  const operands = [data, kernel, up] as const;
  const added = emit.Identity([writeWeightGradient(s, emit, operands, { takePrevious: take, form: "one product" })]);
  const separate = emit.Add([
    writeWeightGradient(s, emit, operands, { form: "taps" }),
    emit.Mul([before, emit.constant(fromNumbers("float32", [], [0.5]))]),
  ]);
  model.graph.setOutputs([added, separate]);
  const session = await engine.load(model, { optimize: false, threads: 1 });
  const feeds = { x: noise([2, 3, 2, 2], "x"), w: noise([4, 3, 1, 1], "w"), up: noise([2, 4, 2, 2], "up") };
  const outputs = await session.run({ ...feeds, before: noise([4, 3, 1, 1], "before") });
  await session.release();
  expect(difference(outputs[added.name] as Dense, outputs[separate.name] as Dense)).toBeLessThan(1e-5);
});
