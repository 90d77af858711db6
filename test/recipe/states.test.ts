/** Models with states: runs over data in a recipe and in a recovery start them at zero and carry them, as an evaluation does. */
import { expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import { random } from "../../src/core/tensor/random.ts";
import { memory } from "../../src/data/index.ts";
import type { Metric } from "../../src/judge/index.ts";
import { parseRecipe } from "../../src/judge/recipe/recipe-text.ts";
import { runRecipe } from "../../src/judge/run/run.ts";
import { train } from "../../src/learn/train/index.ts";
import { determination } from "../../src/runtime/metrics/comparison-metrics.ts";
import { calibrate } from "../../src/techniques/calibrate/calibration.ts";
import { channelMoments } from "../../src/techniques/calibrate/column-statistics.ts";
import { observe, valueRange } from "../../src/techniques/calibrate/observe.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { recover } from "../../src/techniques/recover/index.ts";

const count = 160;
const engine = createEngine();
const numbers = random(1, "states");
const list = (rows: number, columns: number): string =>
  JSON.stringify(Array.from({ length: rows }, () => Array.from({ length: columns }, () => numbers.normal() / 4)));

/** A recurrent network: h′ = tanh(x W + h U), y = h′ V. The state has its samples along axis 1. */
const text = `opset 21
graph (x: float32[batch, 6], state: float32[2, batch, 8]) -> (y: float32[batch, 3], stateN: float32[2, batch, 8]) {
  first: int64[] = 0
  again: float32[2, 1, 1] = [[[1]], [[0.5]]]
  along: int64[1] = [0]
  fc1.weight: float32[6, 8] parameter = ${list(6, 8)}
  fc2.weight: float32[8, 8] parameter = ${list(8, 8)}
  fc3.weight: float32[8, 3] parameter = ${list(8, 3)}
  before = Gather(state, first)
  new = MatMul "fc1" (x, fc1.weight)
  kept = MatMul "fc2" (before, fc2.weight)
  sum = Add(new, kept)
  h = Tanh(sum)
  y = MatMul "fc3" (h, fc3.weight)
  wide = Unsqueeze(h, along)
  stateN = Mul(wide, again)
}`;
const model = () => parseModel(text);
const samples = () =>
  memory("steps", {
    x: fromNumbers(
      "float32",
      [count, 6],
      Float64Array.from({ length: count * 6 }, () => numbers.normal()),
    ),
    begin: { type: "bool", dims: [count], data: Uint8Array.from({ length: count }, (_, at) => Number(at % 40 === 0)) },
  });
const metric: Metric = determination();

test("a recipe quantizes, recovers and times a model with states", async () => {
  const recipe = parseRecipe(
    "steps:\n  - quantize: {scheme: dynamic}\n  - recover: {until: least-squares}\n",
    "recipe.yaml",
  );
  const data = samples();
  const task = { train: data, calibrate: data, test: samples(), metric };
  const { run } = await runRecipe(model(), recipe, task, { rounds: 1, force: true }, { engine });
  expect(run.original.macs).toBe(6 * 8 + 8 * 8 + 8 * 3);
  expect(run.latency?.models[0]?.milliseconds.median).toBeGreaterThan(0);
  expect(run.variants[0]?.result?.estimate.value).toBeGreaterThan(0.9);
});

test("a recovery fits layers to the original's outputs for the carried states", async () => {
  const original = model();
  const damaged = model();
  await prune(damaged, { amount: 0.4 });
  const { changes, misses } = await recover(damaged, { original, data: samples(), minutes: 1 }, { engine });
  expect(changes.map(({ at }) => at)).toContain("least-squares");
  expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toContainEqual(
    expect.stringContaining("end-to-end: The model carries states (state from stateN)"),
  );
});

test("a calibration uses the carried state at each sample", async () => {
  const [original, data] = [model(), samples()];
  const walk = await calibrate(original, { data }, { engine });
  const node = [...original.graph.nodes()].find(({ name }) => name === "fc3");
  if (node === undefined) throw new Error("There is such a layer.");
  await walk.reach(node);
  const [moments, range] = [
    await walk.observe({ name: "y" }, channelMoments),
    await walk.observe({ name: "y" }, valueRange),
  ];
  await walk.release();
  const carried = await observe(engine, original, data, ["y"], channelMoments);
  expect(moments.mean[0]).toBeCloseTo(carried.get("y")?.mean[0] ?? 0, 6);
  expect(moments.variance[0]).toBeCloseTo(carried.get("y")?.variance[0] ?? 0, 6);
  const expected = (await observe(engine, original, data, ["y"], valueRange)).get("y");
  expect(range.min).toBeCloseTo(expected?.min ?? 0, 5);
  expect(range.max).toBeCloseTo(expected?.max ?? 0, 5);
});

test("training reports that it does not backpropagate through time", async () => {
  await expect(train(model(), { data: samples(), loss: "mse", epochs: 1 }, { engine })).rejects.toThrow(
    "The model carries states (state from stateN), and backpropagation through time is not supported.",
  );
});
