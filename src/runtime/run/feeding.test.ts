import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/batches/indexed.ts";
import { readOneRun } from "./feeding.ts";

const samples = memory("samples", {
  x: float32(
    [6, 2],
    Float32Array.from({ length: 12 }, (_, index) => index),
  ),
});
const taking = (dims: string) =>
  parseModel(`opset 21\ngraph (x: float32[${dims}]) -> (y: float32[${dims}]) {\n  y = Relu(x)\n}`);
const fed = async (dims: string) => {
  const { feeds, size } = await readOneRun(taking(dims), samples);
  return { dims: feeds.x?.dims, data: [...(feeds.x?.data ?? [])], size };
};

test("runs a model with a free batch size on the first sample", async () => {
  expect(await fed("batch, 2")).toEqual({ dims: [1, 2], data: [0, 1], size: 1 });
});

test("runs a model with a fixed batch size on this number of samples", async () => {
  expect(await fed("4, 2")).toEqual({ dims: [4, 2], data: [0, 1, 2, 3, 4, 5, 6, 7], size: 4 });
});

test("runs a model without a batch axis on the first sample", async () => {
  expect(await fed("2")).toEqual({ dims: [2], data: [0, 1], size: 1 });
});

test("fails without samples", async () => {
  const none = memory("none", { x: float32([0, 2], new Float32Array(0)) });
  await expect(readOneRun(taking("4, 2"), none)).rejects.toThrow(/no samples/);
});

test("starts states with zeros for one sample", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 2], state: float32[1, batch, 2]) -> (y: float32[batch, 2], stateN: float32[1, batch, 2]) {
  stateN = Add(x, state)
  y = Relu(x)
}`);
  const { feeds } = await readOneRun(model, samples);
  expect(feeds.state).toMatchObject({ dims: [1, 1, 2], data: new Float32Array(2) });
});
