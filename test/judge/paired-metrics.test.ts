/** A model is reported as lost only if the samples show significantly different predictions. */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { memory } from "../../src/data/index.ts";
import { accuracy, agreement } from "../../src/judge/index.ts";
import { PairedMetrics } from "../../src/judge/measure/paired-metrics.ts";
import { findLostKnowledge } from "../../src/judge/measure/rejection-cause.ts";
import { lostFunctionText, originalScoreOf } from "../../src/runtime/metrics/lost-function.ts";
import type { Metric } from "../../src/runtime/metrics/metric.ts";

const count = 100;
const model = parseModel(`opset 21
graph (input: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  logits = Identity(input)
}
`);

/** Half of the labels are 0. The model predicts the labels of the first `right` samples. */
async function figuresOf(right: number, metric = accuracy(), labelled = true) {
  const labels = Array.from({ length: count }, (_, sample) => sample % 2);
  const answers = labels.map((label, sample) => (sample < right ? label : 1 - label));
  const logits = Float32Array.from(answers.flatMap((named) => [1 - named, named]));
  const data = memory("pairs", {
    input: { type: "float32", dims: [count, 2], data: logits },
    ...(labelled ? { label: { type: "int64", dims: [count], data: BigInt64Array.from(labels, BigInt) } } : {}),
  });
  return PairedMetrics.create(model, { test: data, metric }, {}, completeContext({ engine: createEngine() }));
}

test("warns without labels if the original predicts one class for all samples", async () => {
  const warningsOf = async (first: number, labelled: boolean, count = 20) => {
    const logits = Float32Array.from({ length: 2 * count }, (_, at) => (at % 2 === 0 ? (at === 0 ? first : 1) : 0));
    const data = memory("alike", {
      input: { type: "float32", dims: [count, 2], data: logits },
      ...(labelled ? { label: { type: "int64", dims: [count], data: new BigInt64Array(count) } } : {}),
    });
    const warnings: string[] = [];
    const log = ({ text }: { readonly text: string }) => warnings.push(text);
    const metric = labelled ? accuracy() : agreement();
    await PairedMetrics.create(model, { test: data, metric }, {}, completeContext({ engine: createEngine(), log }));
    return warnings;
  };
  expect(await warningsOf(1, false)).toEqual([
    'the original names the same class for all 20 samples, so agreement shows little: if it scores no classes, `metric: "r-squared"` tells more',
  ]);
  expect(await warningsOf(-1, false)).toEqual([]);
  expect(await warningsOf(1, true)).toEqual([]);
  expect(await warningsOf(1, false, 7)).toEqual([]);
});

describe("with 10 of 2,000 samples of a rare class", () => {
  const samples = 2000;
  /** The first ten samples are of class 1, with margins of 1 to 10. */
  const inputs = Float32Array.from({ length: 2 * samples }, (_, at) =>
    at % 2 === 0 ? (at < 20 ? 0 : 20) : at < 20 ? (at + 1) / 2 : 0,
  );
  /** Compares the model with one that adds `bias` to class 0, which loses the samples with smaller margins. */
  const compareWith = async (bias: number, metric: Metric, maxDrop?: number) => {
    const warnings: string[] = [];
    const label = BigInt64Array.from({ length: samples }, (_, at) => BigInt(at < 10));
    const test = memory("rare", {
      input: { type: "float32", dims: [samples, 2], data: inputs },
      ...(metric.truth === "original" ? {} : { label: { type: "int64", dims: [samples], data: label } }),
    });
    const log = ({ text }: { readonly text: string }) => warnings.push(text);
    const context = completeContext({ engine: createEngine(), log });
    const metrics = await PairedMetrics.create(model, { test, metric }, { maxDrop }, context);
    const goal = metrics.resolveGoal({ maxDrop }, false);
    const compared = await metrics.compare(
      parseModel(`opset 21
graph (input: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  logits = Add(input, bias)
  bias: float32[2] = [${bias}, 0]
}
`),
    );
    return { lost: findLostKnowledge(compared, goal), warnings };
  };

  test("rejects a model that finds two of them, although 0.4 points are lost", async () => {
    expect((await compareWith(8.5, accuracy())).lost).toBe(
      "accuracy falls from 100.0 % to 99.6 % (2,000 samples; a constant prediction would reach 99.5 %)",
    );
    expect((await compareWith(8.5, agreement())).lost).toContain("agrees with the original on 1,992 of 2,000 samples");
    expect((await compareWith(8.5, accuracy(), 0.02)).lost).toBeUndefined();
  });

  test("accepts a model that finds six of them, and warns that the metric shows little", async () => {
    const { lost, warnings } = await compareWith(4.5, accuracy());
    expect(lost).toBeUndefined();
    expect(warnings).toEqual([
      'a model that always predicts one class would meet the goal (accuracy 99.5 % on 2,000 samples; 1.0 points allowed): `metric: "f1"` counts rare classes as much as others',
    ]);
    expect((await compareWith(4.5, agreement(), 0.004)).warnings).toEqual([]);
  });
});

test("rejects an original that outputs NaN, also with labels", async () => {
  const broken = parseModel(`opset 21
graph (input: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  negative = Neg(input)
  below = Sub(negative, one)
  one: float32[1] = [1]
  logits = Sqrt(below)
}
`);
  const data = memory("labelled", {
    input: { type: "float32", dims: [10, 2], data: new Float32Array(20) },
    label: { type: "int64", dims: [10], data: new BigInt64Array(10) },
  });
  const task = { test: data, metric: accuracy() };
  const figures = await PairedMetrics.create(broken, task, {}, completeContext({ engine: createEngine() }));
  expect(() => figures.requireAnswers()).toThrow("The original outputs NaN on some or all of 10 samples");
  expect(() => figures.requireAnswers()).toThrow("accuracy is 0.0 %");
});

test("rejects an original at chance level, for which no drop can be measured", async () => {
  const figures = await figuresOf(50);
  expect(figures.chance).toBe(0.5);
  expect(figures.resolveGoal({ maxDrop: 0.01 }, false)).toBeUndefined();
  expect(() => figures.requireAboveChance()).toThrow(
    "The original scores 50.0 %, and always predicting the most frequent class would score 50.0 %: these samples cannot show what is lost.",
  );
  expect((await figuresOf(90)).chanceNote).toBeUndefined();
});

test("rejects an original that is not clearly better than chance", async () => {
  expect((await figuresOf(52)).chanceNote).toContain("The original scores 52.0 %");
  expect((await figuresOf(60)).chanceNote).toBeUndefined();
});

test("allows a drop of one point by default, with and without labels", async () => {
  expect((await figuresOf(90)).resolveGoal({}, false)).toEqual({ maxDrop: 0.01 });
  expect((await figuresOf(90, agreement(), false)).resolveGoal({ strict: true }, false)).toEqual({
    maxDrop: 0.01,
    strict: true,
  });
  expect((await figuresOf(90)).resolveGoal({ maxDrop: 0.05 }, true)).toEqual({ maxDrop: 0.05, stated: true });
});

test("allows a trained model to predict differently without labels, unless a goal is set", async () => {
  const figures = await figuresOf(90, agreement(), false);
  expect(figures.resolveGoal({}, true)).toBeUndefined();
  expect(figures.resolveGoal({ maxDrop: 0.1 }, true)).toEqual({ maxDrop: 0.1, stated: true });
});

test("without labels, other predictions contradict an original that predicts one class for all samples", async () => {
  const knowledge = originalScoreOf({ predicted: new Float64Array(20), labels: new Float64Array(20).fill(-1) });
  if (knowledge === undefined) throw new Error("It names a class.");
  const answered = (others: number) => {
    const predictions = Float64Array.from({ length: 20 }, (_, sample) => Number(sample < others));
    return lostFunctionText(knowledge, { predicted: predictions, labels: new Float64Array(20).fill(-1) });
  };
  expect(answered(9)).toBeUndefined();
  expect(answered(18)).toBe(
    "the result agrees with the original on 2 of 20 samples (the original predicts the same for all of them)",
  );
});
