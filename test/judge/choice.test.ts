/** Tests the choice among several recipes on one model: the samples that decide, and the printed reason. */
import { beforeAll, describe, expect, test } from "vitest";
import { choiceSentence } from "../../src/app/report/choice.ts";
import type { Model } from "../../src/core/graph/model.ts";
import type { Dataset } from "../../src/data/batches/dataset.ts";
import { take } from "../../src/data/index.ts";
import { accuracy } from "../../src/judge/index.ts";
import { divideSamples } from "../../src/judge/measure/holdout.ts";
import { compress, runRecipe } from "../../src/judge/run/compress.ts";
import { quick, recipe, task, trained } from "./blobs.ts";
import { candidates, count, reliant, relying, seed } from "./reliant.ts";

let net: Model;

beforeAll(async () => {
  net = await trained();
});

describe("the choice among several candidates", () => {
  test("keeps nothing if no candidate is good enough", async () => {
    const lossy = recipe({ prune: { structured: true, amount: 0.5 } });
    const candidates = [0, 1].map((index) => ({ name: `try ${index}`, recipe: lossy }));
    const { run, result } = await compress(net, candidates, task, { ...quick, goal: { maxDrop: 0 } });
    expect(run.chosen).toBeUndefined();
    expect(result).toBeUndefined();
    expect(run.latency).toBeUndefined();
  });
});

describe("the choice by validation samples", () => {
  const { test: tested } = divideSamples(count, false) ?? { test: new Uint32Array() };
  const options = { ...quick, goal: { maxDrop: 0.05 } };
  const run = (test: Dataset, more: object = {}) =>
    compress(reliant, candidates, { test, metric: accuracy() }, { ...options, ...more }, { seed });

  test("uses the test samples, with a message, for a single recipe or too few samples", async () => {
    const data = relying(new Uint32Array());
    const alone = await runRecipe(
      reliant,
      recipe({ prune: { structured: true, amount: 0.34 } }),
      { test: data, metric: accuracy() },
      quick,
    );
    expect(alone.run.data.validation).toBeUndefined();
    expect(alone.run.original.estimate.count).toBe(count);
    const { run: record } = await run(take(data, 89));
    expect(record.data.validation).toBeUndefined();
    expect(record.original.estimate.count).toBe(89);
    expect(choiceSentence(record)).toContain(
      "Only 89 test samples, so the same ones chose and evaluated the result. Expect a slightly worse value in practice; provide 90 or more.",
    );
  });

  test("uses the first samples of a stream, because adjacent samples are similar", async () => {
    const { name, batches } = relying(Uint32Array.from({ length: 100 }, (_, at) => at));
    const { run: record } = await run({ name, count: undefined, batches });
    expect(record.variants[0]?.validation?.comparison.difference).toMatchObject({ value: -0.1, count: 100 });
    expect(record.variants[0]?.comparison?.difference).toMatchObject({ value: 0, count: 200 });
  });

  test("reports disagreements among the test samples", async () => {
    const { run: record } = await run(relying(tested), { force: true });
    const wrong = new Set(tested.filter((_, place) => place % 10 === 0));
    expect(record.disagreements.length).toBeGreaterThan(5);
    expect(
      record.disagreements.every(({ sample, label, original }) => wrong.has(sample) && label === 1 && original === 1),
    ).toBe(true);
  });
});
