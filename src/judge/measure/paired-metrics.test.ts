import { expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { accuracy } from "../../runtime/metrics/class-metrics.ts";
import { agreement, meanKl, signalToNoise } from "../../runtime/metrics/comparison-metrics.ts";
import { cosine } from "../../runtime/metrics/embedding.ts";
import { PairedMetrics } from "./paired-metrics.ts";

const model = (nodes: string) =>
  parseModel(`opset 21\ngraph (x: float32[n, 2]) -> (logits: float32[n, 2]) {\n  ${nodes}\n}`);
/** Subtracts the mean of the batch, as ranges of a batch affect small samples next to a large one. */
const company =
  "a: int64[1] = [0]\n  m = ReduceMean(x, a) {keepdims=1}\n  f: float32[2] = [1, -1]\n  c = Mul(m, f)\n  logits = Sub(x, c)";

async function figuresOf(batch: number | undefined) {
  const notes: string[] = [];
  const context = completeContext({
    engine: createEngine(),
    log: ({ id, text }) => id === "batch" && notes.push(text),
  });
  const x = float32([4, 2], [1, 2, 1, 2, 100, 1, 100, 1]);
  const task = { test: memory("rows", { x, label: int64([4], [1n, 1n, 0n, 0n]) }), metric: accuracy() };
  const figures = await PairedMetrics.create(model("logits = Identity(x)"), task, { batch }, context);
  const { comparison } = await figures.compare(model(company));
  return { original: comparison.original.value, candidate: comparison.candidate.value, notes };
}

test("evaluates a result with batch-dependent outputs one sample at a time", async () => {
  const alone = await figuresOf(undefined);
  const asked = await figuresOf(4);
  expect([alone.original, asked.original]).toEqual([1, 1]);
  expect(alone.notes).toEqual([expect.stringContaining("one sample at a time")]);
  expect(asked.notes).toEqual([expect.stringContaining("in batches of 4")]);
  expect(alone.candidate).not.toBe(asked.candidate);
});

test("without labels, compares both models with the predictions of a reference model", async () => {
  const x = float32([4, 2], [2, 1, 2, 1, 1, 2, 1, 2]);
  const context = completeContext({ engine: createEngine() });
  const task = { test: memory("rows", { x }), metric: agreement() };
  const truth = model("logits = Identity(x)");
  const first = model("o: float32[2] = [0.0, -9.0]\n  logits = Add(x, o)");
  const beside = await PairedMetrics.create(first, task, { truth }, context);
  const { comparison } = await beside.compare(truth);
  expect([comparison.original.value, comparison.candidate.value]).toEqual([0.5, 1]);
  expect(beside.resolveGoal({}, true)).toEqual({ maxDrop: 0.01 });
  const alone = await PairedMetrics.create(first, task, {}, context);
  expect((await alone.compare(truth)).comparison).toMatchObject({ original: { value: 1 }, candidate: { value: 0.5 } });
  expect(alone.resolveGoal({}, true)).toBeUndefined();
});

test.each([
  ["agreement", agreement()],
  ["signal to noise", signalToNoise()],
  ["KL divergence", meanKl()],
  ["cosine", cosine()],
])("rejects an original that outputs NaN: %s", async (name, metric) => {
  const context = completeContext({ engine: createEngine() });
  const task = { test: memory("rows", { x: float32([4, 2], [2, 1, 2, 1, 1, 2, 1, 2]) }), metric };
  const broken = await PairedMetrics.create(model("z = Sub(x, x)\n  logits = Div(z, z)"), task, {}, context);
  expect(() => broken.requireAnswers()).toThrow(
    `The original outputs NaN on some or all of 4 samples: its ${name} with itself`,
  );
  const sound = await PairedMetrics.create(model("logits = Identity(x)"), task, {}, context);
  expect(() => sound.requireAnswers()).not.toThrow();
});
