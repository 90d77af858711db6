/** Several recipes on one model: what is chosen, on which samples, and what is said of it. */
import { beforeAll, describe, expect, test } from "vitest";
import { choiceSentence } from "../../src/app/report/choice.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import type { Dataset } from "../../src/data/batches/types.ts";
import { memory, take } from "../../src/data/index.ts";
import { accuracy } from "../../src/judge/index.ts";
import { drawHoldout } from "../../src/judge/measure/division.ts";
import { compress, runRecipe } from "../../src/judge/run/run.ts";
import { quick, recipe, task, trained } from "./blobs.ts";

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
  const seed = 5;
  const count = 300;
  const candidates = ["first", "second"].map((name) => ({
    name,
    recipe: recipe({ prune: { structured: true, amount: 0.34, layers: "fc1" } }),
  }));
  /** Inputs that no channel reads: a channel that goes saves more bytes than its record takes. */
  const wide = (row: readonly number[]) => [...row, ...new Array<number>(61).fill(0)];
  const rows = [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 0.5],
  ].map(wide);
  /** The third channel has the smallest weights, and is the only one that has the class of every tenth sample. */
  const reliant = parseModel(`opset 21
graph (input: float32[batch, 64]) -> (logits: float32[batch, 2]) {
  fc1.weight: float32[3, 64] parameter = ${JSON.stringify(rows)}
  fc2.weight: float32[2, 3] parameter = [[1, 0, 0], [0, 1, 1]]
  hidden = Gemm "fc1" (input, fc1.weight) {transB=1}
  active = Relu(hidden)
  logits = Gemm "fc2" (active, fc2.weight) {transB=1}
}
`);

  /** Every tenth of `samples` has its class in the third channel only: without this channel a tenth of them is wrong. */
  function relying(samples: Uint32Array): Dataset {
    const wrong = new Set(samples.filter((_, place) => place % 10 === 0));
    const rows = Array.from({ length: count }, (_, at) =>
      wrong.has(at) ? [1, 0.9, 1] : at % 2 === 0 ? [1, 0, 0] : [0, 1, 0],
    );
    const labels = rows.map((row, at) => (wrong.has(at) ? 1n : row[0] === 1 ? 0n : 1n));
    return memory("relying", {
      input: { type: "float32", dims: [count, 64], data: Float32Array.from(rows.flatMap(wide)) },
      label: { type: "int64", dims: [count], data: BigInt64Array.from(labels) },
    });
  }

  const { test: tested } = drawHoldout(count, false) ?? { test: new Uint32Array() };
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
