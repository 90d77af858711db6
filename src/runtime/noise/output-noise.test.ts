import { expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { emitInto } from "../../core/graph/emit.ts";
import { replaceReads } from "../../core/graph/replace.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { measureDifferences, valuePairs } from "./layer-differences.ts";
import { OutputNoise } from "./output-noise.ts";

const model = parseModel(`opset 17
graph (boxes: float32[N, 2, 2], scores: float32[N, 1, 2]) -> (y: float32[N, 3, 2]) {
  b = Relu(boxes)
  s = Sigmoid(scores)
  y = Concat(b, s) {axis=1}
}`);

test("the noise of an output is the sum over its parts, each divided by its own power", () => {
  const noise = new OutputNoise(model);
  const y = float32([1, 3, 2], [300, 400, 0, 0, 0.6, 0.8]);
  noise.add({ y }, { y: float32([1, 3, 2], [300, 450, 0, 0, 0.6, 0.3]) });
  // 50² / 500² + 0.5² / 1²
  expect(noise.sum).toBeCloseTo(0.01 + 0.25, 6);
});

test("the signal to noise of an output is that of its worst part", async () => {
  const results = [1, 0.5].map((factor) => {
    const result = model.clone();
    const emit = emitInto(result);
    const output = result.graph.outputs[0];
    const scores = result.graph.value("s");
    if (output?.producer === undefined || scores === undefined) throw new Error("the model has no scores");
    const factorValue = emit.constant(float32([], [factor]));
    const scaled = emit.Mul([scores, factorValue]);
    replaceReads(scores, scaled, scaled.producer);
    return result;
  });
  const feeds = [{ boxes: float32([1, 2, 2], [300, 400, 0, 0]), scores: float32([1, 1, 2], [0.5, 1]) }];
  const levels = results.map(async (result) => {
    const places = valuePairs(model, result, []);
    const [difference] = await measureDifferences(createEngine(), [model, result], places, feeds, {}, []);
    return difference?.signalToNoise;
  });
  expect(await levels[0]).toBe(Number.POSITIVE_INFINITY);
  expect(await levels[1]).toBeCloseTo(20 * Math.log10(2), 3);
});
