/** Recipes of a model with states. */
import { expect, test } from "vitest";
import type { Metric } from "../../src/judge/index.ts";
import { parseRecipe } from "../../src/judge/recipe/recipe-text.ts";
import { runRecipe } from "../../src/judge/run/compress.ts";
import { determination } from "../../src/runtime/metrics/comparison-metrics.ts";
import { engine, model, samples } from "./states.ts";

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
