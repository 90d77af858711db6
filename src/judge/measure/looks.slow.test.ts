import { describe, expect, test } from "vitest";
import type { Engine } from "../../core/engine/engine.ts";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { earlyLevel } from "../../core/math/confidence-interval.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { memory } from "../../data/index.ts";
import { accuracy, perplexity } from "../../runtime/metrics/class-metrics.ts";
import { compareRows } from "../compare/compare.ts";
import { judge } from "../compare/goal.ts";
import { Looks } from "./looks.ts";

const model = (nodes: string) =>
  parseModel(`opset 21\ngraph (x: float32[n, 2]) -> (logits: float32[n, 2]) {\n  ${nodes}\n}`);
const original = model("logits = Identity(x)");

/** The greater feature names the class, which is the label of nine in ten samples. The first is 1, 2, … up to ten. */
function samples(count: number) {
  const draw = random(1, "samples");
  const x = new Float32Array(2 * count);
  const label = new BigInt64Array(count);
  for (let sample = 0; sample < count; sample++) {
    const named = draw.integer(2);
    x.set(named === 0 ? [1 + (sample % 10), 0] : [0, 1 + (sample % 10)], 2 * sample);
    label[sample] = BigInt(sample % 10 === 3 ? 1 - named : named);
  }
  return memory("samples", { x: float32([count, 2], x), label: int64([count], label) });
}

/** Counts the samples that models run on. */
function counting() {
  const engine = createEngine();
  const counted = { samples: 0 };
  const wrapped: Engine = {
    load: async (loaded, options) => {
      const session = await engine.load(loaded, options);
      return {
        release: () => session.release(),
        run: (feeds, fetch) => {
          counted.samples += feeds.x?.dims[0] ?? 0;
          return session.run(feeds, fetch);
        },
      };
    },
  };
  return { counted, context: completeContext({ engine: wrapped }) };
}

const goal = { maxDrop: 0.01 };

describe("a result compared with its original", () => {
  test("is accepted after as many random samples as show that it is equal", async () => {
    const { counted, context } = counting();
    const looks = Looks.drawSamples(original, { test: samples(8000), metric: accuracy() }, { batch: 64 }, context);
    const { comparison, answers } = await looks.compare(model("logits = Abs(x)"), goal);
    // Without disputed samples, the 99.73 % bound is 9 / (n + 9): above a point for 512 samples, below it for 1,024.
    expect(comparison.difference).toMatchObject({ value: 0, count: 1024, confidence: 0.9973 });
    expect(comparison.difference.high).toBeCloseTo(9 / 1033, 9);
    expect(answers.predicted).toHaveLength(1024);
    expect(counted.samples).toBeLessThan(2 * 8000);
    expect(comparison.original.value).toBeCloseTo(0.9, 1);
  });

  test("runs the original once on each sample for any number of models", async () => {
    const { counted, context } = counting();
    const looks = Looks.drawSamples(original, { test: samples(2048), metric: accuracy() }, { batch: 64 }, context);
    const all = () => looks.look(model("logits = Abs(x)"), () => false);
    const { compared: first } = await all();
    const before = counted.samples;
    expect((await all()).compared).toEqual(first);
    // The other runs are the batches that check whether outputs depend on the batch.
    expect(counted.samples - before).toBeLessThan(2.2 * 2048);
    expect(first.comparison.difference).toMatchObject({ value: 0, count: 2048, confidence: 0.95 });
  });

  test("is rejected at the first look if everything is lost", async () => {
    const { context } = counting();
    const looks = Looks.drawSamples(original, { test: samples(4000), metric: accuracy() }, { batch: 64 }, context);
    const { comparison } = await looks.compare(model("logits = Neg(x)"), goal);
    expect(comparison.difference.count).toBe(512);
    expect(comparison.difference.high).toBeLessThan(-0.01);
  });

  test("is evaluated on all samples near the goal, and without a goal", async () => {
    const { context } = counting();
    const task = { test: samples(2000), metric: accuracy() };
    // The bias flips the samples of class 0 with the value 1, which are 5 % of all.
    const near = model("b: float32[2] = [-1.5, 0]\n  logits = Add(x, b)");
    const looks = Looks.drawSamples(original, task, { batch: 64 }, context);
    const close = await looks.compare(near, { maxDrop: 0.05 });
    expect(close.comparison.difference).toMatchObject({ count: 2000, confidence: 0.95 });
    const plain = await looks.compare(original, undefined);
    expect(plain.comparison.difference.count).toBe(2000);
    expect(plain.comparison.difference.high).toBeCloseTo(3.8415 / 2003.8415, 6);
  });

  test("is evaluated by perplexity on the same samples for the same seed", async () => {
    const { context } = counting();
    const task = { test: samples(3000), metric: perplexity() };
    const half = model("h: float32[1] = [0.999]\n  logits = Mul(x, h)");
    const [first, second] = [
      await Looks.drawSamples(original, task, { batch: 64 }, context).compare(half, goal),
      await Looks.drawSamples(original, task, { batch: 64 }, context).compare(half, goal),
    ];
    expect(first?.comparison).toEqual(second?.comparison);
    expect(first?.comparison.difference.count).toBe(512);
  });

  test("is evaluated on all samples if they are few or follow each other", async () => {
    const { context } = counting();
    const few = Looks.drawSamples(original, { test: samples(500), metric: accuracy() }, { batch: 64 }, context);
    expect((await few.compare(original, goal)).comparison.difference.count).toBe(500);
    const { name, count, batches } = samples(3000);
    const stream = { test: { name, count, batches }, metric: accuracy() };
    const ordered = Looks.drawSamples(original, stream, { batch: 64 }, context);
    expect((await ordered.compare(original, goal)).comparison.difference.count).toBe(3000);
  });
});

describe("looks at 512, 1,024 and 2,048 samples", () => {
  const draw = random(5, "verdicts");
  const trials = 600;
  /** Returns how often the goal is shown to be met, and how often the printed interval contains the loss. */
  const countVerdicts = (lost: number): { readonly kept: number; readonly held: number } => {
    const counted = { kept: 0, held: 0 };
    for (let trial = 0; trial < trials; trial++) {
      const right = new Float64Array(2048).fill(1);
      const rows = right.map(() => Number(draw.uniform() >= lost));
      const settled = [512, 1024]
        .map((size) => judge(compareRows(accuracy(), right.slice(0, size), rows.slice(0, size), earlyLevel), goal))
        .find(({ verdict }) => verdict !== "undecided");
      const { verdict, drop } = settled ?? judge(compareRows(accuracy(), right, rows), goal);
      if (verdict === "kept") counted.kept++;
      if (drop.low <= lost && drop.high >= lost) counted.held++;
    }
    return { kept: counted.kept / trials, held: counted.held / trials };
  };

  test("accept good results and reject bad ones about as often as a single look", () => {
    // At the limit, a single look accepts one result in forty.
    expect(countVerdicts(0.01).kept).toBeLessThan(0.045);
    expect(countVerdicts(0.002).kept).toBeGreaterThan(0.95);
  });

  test.each([0.005, 0.015, 0.02, 0.03])("have intervals that contain the loss in 95 of 100 trials: %d", (lost) => {
    expect(countVerdicts(lost).held).toBeGreaterThan(0.93);
  });
});
