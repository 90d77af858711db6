/** Tests metrics of models that output class indices or names instead of scores. */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { accuracy, crossEntropy, macroF1, topK } from "./class-metrics.ts";
import { agreement, meanKl, signalToNoise } from "./comparison-metrics.ts";
import { evaluate } from "./evaluate.ts";
import { agreementFlags, predictionRows } from "./predictions.ts";

const engine = createEngine();
/** Returns a model that outputs the index of the largest of three scaled inputs. */
const classifier = (keepdims: number, factors = "[1, 1, 1]") =>
  parseModel(`opset 21
graph (x: float32[n, 3]) -> (y: int64[n${keepdims === 1 ? ", 1" : ""}]) {
  f: float32[3] = ${factors}
  s = Mul(x, f)
  y = ArgMax(s) {axis=1, keepdims=${keepdims}}
}`);
const x = float32([4, 3], [3, 1, 0, 0, 2, 1, 0, 1, 5, 4, 3, 0]);
const label = int64([4], [0n, 1n, 2n, 1n]);
const data = memory("rows", { x, label });

describe.each([0, 1])("keepdims %i", (keepdims) => {
  test("compares the class with the label", async () => {
    const right = await evaluate(engine, classifier(keepdims), data, accuracy());
    expect([...right.rows]).toEqual([1, 1, 1, 0]);
    const f1 = await evaluate(engine, classifier(keepdims), data, macroF1());
    // F1 is 2/3 for class 0, 2/3 for class 1 and 1 for class 2.
    expect(f1.estimate.value).toBeCloseTo(7 / 9, 12);
  });

  test("compares the class with the original's", async () => {
    const original = classifier(keepdims);
    const other = classifier(keepdims, "[0, 1, 1]");
    const { rows } = await evaluate(engine, other, data, agreement(), { original });
    expect([...rows]).toEqual([0, 1, 1, 0]);
    const [a, b] = await Promise.all(
      [original, other].map(async (model) => {
        const evaluation = await evaluate(engine, model, data, predictionRows());
        const pairs = [...evaluation.rows];
        return {
          labels: Float64Array.from([]),
          predicted: Float64Array.from(pairs.filter((_, index) => index % 2 === 1)),
        };
      }),
    );
    expect(a === undefined || b === undefined ? undefined : [...(agreementFlags(a, b) ?? [])]).toEqual([0, 1, 1, 0]);
  });
});

test("metrics that need scores reject class outputs", async () => {
  const model = classifier(0);
  const refused = { code: "E_DATA", message: expect.stringContaining("names a class for each sample") };
  await expect(evaluate(engine, model, data, crossEntropy())).rejects.toMatchObject(refused);
  await expect(evaluate(engine, model, data, topK(2))).rejects.toMatchObject(refused);
  await expect(evaluate(engine, model, data, meanKl(), { original: model })).rejects.toMatchObject(refused);
});

test("compares the class of each pixel with its label", async () => {
  const model = parseModel(`opset 21
graph (x: float32[n, 2, 2, 2]) -> (y: int64[n, 2, 2]) {
  y = ArgMax(x) {axis=1, keepdims=0}
}`);
  const pixels = memory("pixels", {
    x: float32([1, 2, 2, 2], [1, 0, 0, 0, 0, 1, 1, 1]),
    label: int64([1, 2, 2], [0n, 1n, 1n, 0n]),
  });
  expect((await evaluate(engine, model, pixels, accuracy())).estimate.value).toBe(0.75);
  expect((await evaluate(engine, model, pixels, agreement(), { original: model })).estimate.value).toBe(1);
});

test("treats integer scores as scores, and compares class names as text", async () => {
  const scores = parseModel("opset 21\ngraph (x: float32[n, 3]) -> (y: uint8[n, 3]) {\n  y = Cast(x) {to=2}\n}");
  expect([...(await evaluate(engine, scores, data, accuracy())).rows]).toEqual([1, 1, 1, 0]);
  const names = (words: string) =>
    parseModel(`opset 21
graph (x: float32[n, 3]) -> (y: string[n]) {
  names: string[3] = ${words}
  i = ArgMax(x) {axis=1, keepdims=0}
  y = Gather(names, i)
}`);
  const original = names('["cat", "dog", "eel"]');
  const { rows } = await evaluate(engine, names('["dog", "dog", "eel"]'), data, agreement(), { original });
  expect([...rows]).toEqual([0, 1, 1, 0]);
  await expect(evaluate(engine, original, data, accuracy())).rejects.toMatchObject({
    code: "E_DATA",
    message: expect.stringContaining("class names"),
  });
  await expect(evaluate(engine, original, data, signalToNoise(), { original })).rejects.toMatchObject({
    code: "E_DATA",
    message: expect.stringContaining("contains text"),
  });
});

test("rejects one float per sample as a class", async () => {
  const model = parseModel("opset 21\ngraph (x: float32[n, 3]) -> (y) {\n  y = ReduceSum(x) {keepdims=0}\n}");
  await expect(
    evaluate(engine, model, memory("one", { x: float32([1, 3], [1, 2, 3]) }), agreement(), { original: model }),
  ).rejects.toMatchObject({ code: "E_DATA" });
});

test("ignores a sequence output next to the class", async () => {
  const model = parseModel(`opset 21
graph (x: float32[n, 3]) -> (list, y: int64[n]) {
  list = SequenceConstruct(x)
  y = ArgMax(x) {axis=1, keepdims=0}
}`);
  expect([...(await evaluate(engine, model, data, accuracy())).rows]).toEqual([1, 1, 1, 0]);
  expect([...(await evaluate(engine, model, data, agreement(), { original: model })).rows]).toEqual([1, 1, 1, 1]);
});
