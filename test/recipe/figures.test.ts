/** When a model is no longer the function of its original: by its answers, and only where the samples show it. */
import { expect, test } from "vitest";
import { memory } from "../../src/data/index.ts";
import { createEngine } from "../../src/engine/index.ts";
import { knowledgeOf, lostKnowledge } from "../../src/evaluate/baseline.ts";
import { accuracy, agreement, cosine, crossEntropy } from "../../src/evaluate/index.ts";
import { parseModel } from "../../src/graph/text.ts";
import { completeContext } from "../../src/passes/index.ts";
import { Figures } from "../../src/recipe/figures.ts";

const count = 100;
const model = parseModel(`opset 21
graph (input: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  logits = Identity(input)
}
`);

/** Half of the labels are 0; the model answers the first `right` samples as their labels say. */
async function figuresOf(right: number, metric = accuracy(), labelled = true) {
  const labels = Array.from({ length: count }, (_, sample) => sample % 2);
  const answers = labels.map((label, sample) => (sample < right ? label : 1 - label));
  const logits = Float32Array.from(answers.flatMap((named) => [1 - named, named]));
  const data = memory("pairs", {
    input: { type: "float32", dims: [count, 2], data: logits },
    ...(labelled ? { label: { type: "int64", dims: [count], data: BigInt64Array.from(labels, BigInt) } } : {}),
  });
  return Figures.create(model, { test: data, metric }, {}, completeContext({ engine: createEngine() }));
}

/** What is said of a candidate whose answers to the first `flipped` samples are the other way round. */
function lost(figures: Figures, flipped: number, value?: number, trained = false): string | undefined {
  const { comparison, answers } = figures.original;
  const given = answers.given.map((named, sample) => (sample < flipped ? 1 - named : named));
  const candidate = { ...comparison.candidate, value: value ?? comparison.candidate.value };
  return figures.lost({ comparison: { ...comparison, candidate }, answers: { ...answers, given } }, trained);
}

test("a model that kept less than half of what it knew above chance is lost", async () => {
  const figures = await figuresOf(90);
  expect(figures.chance).toBe(0.5);
  expect(lost(figures, 19)).toBeUndefined();
  expect(lost(figures, 21)).toBe("accuracy falls from 90.0 % to 69.0 % (100 samples; chance is 50.0 %)");
});

test("one near chance is not lost by a few samples more or less, nor one at chance by any", async () => {
  expect(lost(await figuresOf(52), 2)).toBeUndefined();
  expect(lost(await figuresOf(52), 30)).toContain("accuracy falls from 52.0 %");
  expect(lost(await figuresOf(50), 30)).toBeUndefined();
});

test("without labels the original's own answers are the right ones", async () => {
  const figures = await figuresOf(90, agreement(), false);
  expect(lost(figures, 60)).toBe("the result agrees with the original on 40 of 100 samples (chance is 50.0 %)");
});

test("what was trained may answer otherwise than before, but not lose what labels show that it knew", async () => {
  expect(lost(await figuresOf(90, agreement(), false), 60, undefined, true)).toBeUndefined();
  expect(lost(await figuresOf(90), 60, undefined, true)).toContain("accuracy falls from 90.0 %");
  expect(lost(await figuresOf(50), 30, undefined, true)).toBeUndefined();
});

test("without labels an original that answers all samples alike is contradicted by other answers", async () => {
  const known = knowledgeOf({ given: new Float64Array(20), labels: new Float64Array(20).fill(-1) });
  if (known === undefined) throw new Error("It names a class.");
  const answered = (others: number) => {
    const given = Float64Array.from({ length: 20 }, (_, sample) => Number(sample < others));
    return lostKnowledge(known, { given, labels: new Float64Array(20).fill(-1) });
  };
  expect(answered(9)).toBeUndefined();
  expect(answered(18)).toBe("the result agrees with the original on 2 of 20 samples (which answers them all alike)");
});

test("answers decide whatever figure is asked for; and a figure that is no number is refused", async () => {
  const figures = await figuresOf(90, crossEntropy());
  expect(lost(figures, 0)).toBeUndefined();
  expect(lost(figures, 60)).toContain("accuracy falls from 90.0 % to 30.0 %");
  expect(lost(figures, 0, Number.NaN)).toBe("cross-entropy is NaN");
  expect(lost(figures, 0, Number.POSITIVE_INFINITY)).toBe("cross-entropy is Infinity");
});

test("a model that names no class is lost where its likeness to the original is below a half", async () => {
  const fields = parseModel(`opset 21
graph (input: float32[batch, 2, 2]) -> (field: float32[batch, 2, 2]) {
  field = Identity(input)
}
`);
  const input = {
    type: "float32",
    dims: [20, 2, 2],
    data: Float32Array.from({ length: 80 }, (_, at) => at + 1),
  } as const;
  const data = memory("fields", { input });
  const figures = await Figures.create(
    fields,
    { test: data, metric: cosine() },
    {},
    completeContext({ engine: createEngine() }),
  );
  expect(figures.chance).toBeUndefined();
  const { comparison, answers } = figures.original;
  const at = (value: number) => {
    const candidate = { ...comparison.candidate, value, low: value - 0.1, high: value + 0.1 };
    return figures.lost({ comparison: { ...comparison, candidate }, answers });
  };
  expect(at(0.95)).toBeUndefined();
  expect(at(0.45)).toBeUndefined();
  expect(at(0.3)).toBe("cosine with the original is 0.3000 (20 samples)");
});
