/** Tests models such as detectors, whose output shapes depend on input values. */
import { expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32 } from "../../core/tensor/dense.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { memory } from "../../data/index.ts";
import { boxOverlap, detections } from "../metrics/box-outputs.ts";
import { agreement, signalToNoise } from "../metrics/comparison-metrics.ts";
import { evaluate } from "../metrics/evaluate.ts";
import { createRunner, withOutputs } from "./runner.ts";

/** Returns a box for each element that is not 0, with that element as its score. */
const detector = (factors = "[1, 1, 1]") =>
  parseModel(`opset 21
graph (x: float32[1, 3]) -> (boxes: float32[1, found, 4], scores: float32[1, found]) {
  f: float32[3] = ${factors}
  places: float32[1, 3, 4] = [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
  row: int64[] = 1
  s = Mul(x, f)
  nonzero: int64[2, found] = NonZero(s)
  at = Gather(nonzero, row)
  boxes = Gather(places, at) {axis=1}
  scores = Gather(s, at) {axis=1}
}`);
const data = memory("rows", { x: float32([3, 3], [0.9, 0, 0, 0.8, 0.7, 0, 0, 0.6, 0]) });
const engine = createEngine();

test("observing exactly the outputs runs the model itself, so that its session can be kept", () => {
  const model = detector();
  expect(withOutputs(model, ["scores", "boxes"])).toBe(model);
  expect(withOutputs(model, ["scores"])).not.toBe(model);
});

test("pads smaller samples to one tensor", async () => {
  const runner = await createRunner(engine, detector(), "data");
  const { boxes, scores } = await runner.run(await data.gather(Uint32Array.of(0, 1, 2)));
  await runner.release();
  expect(scores).toEqual(float32([3, 2], [0.9, Number.NaN, 0.8, 0.7, 0.6, Number.NaN].map(Math.fround)));
  expect(boxes?.dims).toEqual([3, 2, 4]);
  expect([...(boxes?.data ?? [])].slice(16, 20)).toEqual([1, 1, 2, 2]);
});

test("compares boxes of any number, but not single values", async () => {
  const original = detector();
  // The second box of the second sample is not found.
  const result = detector("[1, 0, 1]");
  const { rows, estimate } = await evaluate(engine, result, data, boxOverlap(), { original });
  expect([...rows]).toEqual([1, 1, 1, 2, 0, 1]);
  expect(estimate.value).toBe(0.5);
  await expect(evaluate(engine, result, data, signalToNoise(), { original })).rejects.toThrow(
    '"boxes" is float32[3, 2, 4] in the original and float32[3, 1, 4] in the model.',
  );
});

test.each([
  ["two and one", [0.9, 0.8, 0, 0.7, 0, 0], [2, 2]],
  ["one and one", [0.9, 0, 0, 0.7, 0, 0], [2, 1]],
  ["one and none", [0.9, 0, 0, 0, 0, 0], [2, 1]],
])("handles boxes without an image axis, %s", async (_, numbers, dims) => {
  const model = parseModel(`opset 21
graph (x: float32[1, 3]) -> (boxes: float32[found, 4], scores: float32[found]) {
  places: float32[3, 4] = [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
  row: int64[] = 1
  only: int64[1] = [0]
  nonzero: int64[2, found] = NonZero(x)
  at = Gather(nonzero, row)
  boxes = Gather(places, at)
  flat = Squeeze(x, only)
  scores = Gather(flat, at)
}`);
  const images = memory("rows", { x: float32([2, 3], numbers) });
  const runner = await createRunner(engine, model, "data");
  const outputs = await runner.run(await images.gather(Uint32Array.of(0, 1)));
  await runner.release();
  expect(outputs.scores?.dims).toEqual(dims);
  expect((await evaluate(engine, model, images, boxOverlap(), { original: model })).estimate.value).toBe(1);
});

test("padding does not change classes of a detector with a background", async () => {
  const model = parseModel(`opset 21
graph (x: float32[1, 3]) -> (boxes: float32[1, found, 4], scores: float32[1, found, 2]) {
  places: float32[1, 3, 4] = [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
  table: float32[1, 3, 2] = [0.9, 0.1, 0.2, 0.8, 0.3, 0.7]
  row: int64[] = 1
  nonzero: int64[2, found] = NonZero(x)
  at = Gather(nonzero, row)
  boxes = Gather(places, at) {axis=1}
  scores = Gather(table, at) {axis=1}
}`);
  const runner = await createRunner(engine, model, "data");
  const { gather } = memory("rows", { x: float32([2, 3], [1, 1, 0, 0, 1, 1]) });
  const uneven = memory("rows", { x: float32([2, 3], [1, 1, 0, 0, 1, 0]) });
  const classes = async (batch: Batch) =>
    detections(await runner.run(batch)).map((found) => found.map((one) => one.class));
  const both = Uint32Array.of(0, 1);
  expect(await classes(await gather(both))).toEqual([[1], [1, 1]]);
  expect(await classes(await uneven.gather(both))).toEqual([[1], [1]]);
  await runner.release();
});

test("rejects one value for all samples", async () => {
  const model = parseModel(`opset 21
graph (x: float32[3, 3]) -> (y: float32[]) {
  y = ReduceSum(x) {keepdims=0}
}`);
  const rows = memory("rows", {
    x: float32(
      [6, 3],
      Array.from({ length: 18 }, (_, index) => index % 5),
    ),
  });
  await expect(evaluate(engine, model, rows, signalToNoise(), { original: model })).rejects.toThrow(
    'The model has one output value for all samples of a batch, "y".',
  );
});

test("rejects outputs without elements", async () => {
  const model = parseModel(`opset 21
graph (x: float32[3, 3]) -> (y: float32[3, 0]) {
  none: int64[1] = [0]
  axis: int64[1] = [1]
  y = Slice(x, none, none, axis)
}`);
  await expect(evaluate(engine, model, data, agreement(), { original: model })).rejects.toThrow(
    '"y" is [3, 0], without elements: there is nothing to compare.',
  );
});
