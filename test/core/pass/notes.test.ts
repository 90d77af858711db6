/** Tests that passes remove export metadata if they make a model smaller, and keep it otherwise. */
import { expect, test } from "vitest";
import { allGraphs } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { factorize } from "../../../src/techniques/factorize/index.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { fakeQuantize, quantize } from "../../../src/techniques/quantize/index.ts";
import { topology } from "../../zoo/topologies.ts";

const note = "pkg.torch.onnx.stack_trace";

function noted(): Model {
  const model = parseModel(topology("gemm-chain").text);
  for (const node of model.graph.nodes()) node.metadata = new Map([[note, 'File "model.py", line 26, in forward']]);
  return model;
}

const notesIn = (model: Model): number =>
  [...allGraphs(model.graph)].flatMap((graph) => [...graph.nodes()]).filter(({ metadata }) => metadata.has(note))
    .length;

test.each<readonly [string, (model: Model) => Promise<unknown>]>([
  ["prune", (model) => prune(model, { amount: 0.5, layers: "fc1" })],
  ["prune whole channels", (model) => prune(model, { structured: 0.5 })],
  ["quantize weights", (model) => quantize(model, { scheme: "weights", layers: "fc1" })],
  ["quantize dynamically", (model) => quantize(model, { scheme: "dynamic" })],
  ["quantize to float16", (model) => quantize(model, { scheme: "float16" })],
  ["factorize", (model) => factorize(model, { layers: "fc1", rank: 2 })],
])("%s removes export metadata", async (_, pass) => {
  const model = noted();
  await pass(model);
  expect(notesIn(model)).toBe(0);
});

test.each<readonly [string, (model: Model) => Promise<unknown>]>([
  ["fake quantization", (model) => fakeQuantize(model, { scheme: "weights" })],
  ["a pass that changes nothing", (model) => factorize(model, { rank: 1000 })],
])("%s keeps export metadata", async (_, pass) => {
  const model = noted();
  const before = notesIn(model);
  await pass(model);
  expect(notesIn(model)).toBe(before);
});
