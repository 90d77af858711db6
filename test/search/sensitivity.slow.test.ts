/** The sensitivity of single layers, measured on a trained network, and the allocations that follow from it. */

import { readdirSync } from "node:fs";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { macsPerSample } from "../../src/core/analysis/cost.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { storedBytes } from "../../src/core/graph/graph.ts";
import { Model } from "../../src/core/graph/model.ts";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { open } from "../../src/core/onnx/index.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { accuracy, evaluate } from "../../src/judge/index.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { runRecipe } from "../../src/judge/run/compress.ts";
import { allocationFrom } from "../../src/search/sensitivity/allocation.ts";
import { sensitivity } from "../../src/search/sensitivity/sensitivity.ts";
import type { Sensitivity, SensitivityKind } from "../../src/search/sensitivity/sensitivity-record.ts";
import { applySetting } from "../../src/search/sensitivity/sweeps.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { task, trained } from "../judge/blobs.ts";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";

let model: Model;
let analysis: Sensitivity;
beforeAll(async () => {
  model = await trained();
  analysis = await sensitivity(model, task, { name: "blobs.onnx" });
});

const rowsOf = (kind: SensitivityKind, layer: string) =>
  analysis.rows.filter((row) => row.kind === kind && row.layers[0] === layer);

/** Runs a recipe. @returns the accuracy and the bytes of its result. */
async function resultOf(recipe: Parameters<typeof runRecipe>[1]) {
  const { model: result, bytes, run } = await runRecipe(model, recipe, task, { force: true, rounds: 0 });
  const { estimate } = await evaluate(createEngine(), result, task.test, accuracy());
  return { accuracy: estimate.value, bytes: bytes.length, zeros: run.variants[0]?.result?.zeros ?? 0 };
}

describe("the sensitivity of a layer", () => {
  test("has a row for every setting, in graph order, from the mildest to the harshest", () => {
    expect(analysis.rows.map(({ kind, layers, setting }) => `${kind} ${layers.join("+")} ${setting}`)).toEqual([
      ...["fc1", "fc2", "fc3"].flatMap((layer) => [0.2, 0.4, 0.6, 0.8].map((amount) => `prune ${layer} ${amount}`)),
      ...["fc1", "fc2"].flatMap((layer) => [0.2, 0.4, 0.6, 0.8].map((amount) => `channels ${layer} ${amount}`)),
      ...["fc1", "fc2", "fc3"].flatMap((layer) => [8, 4, 3].map((bits) => `bits ${layer} ${bits}`)),
      ...["fc1", "fc2", "fc3"].flatMap((layer) => [0.75, 0.5, 0.25].map((ratio) => `rank ${layer} ${ratio}`)),
    ]);
    expect(analysis).toMatchObject({
      model: "blobs.onnx",
      open: 0,
      bytes: 4 * (16 * 64 + 64 + 64 * 48 + 48 + 48 * 8 + 8),
    });
  });

  test("has the drop of the step alone, on the same samples", async () => {
    const recipe = recipeFrom({ steps: [{ factorize: { layers: "fc3", overrides: { fc3: { budget: 0.75 } } } }] });
    const { run } = await runRecipe(model, recipe, task, { force: true, rounds: 0 });
    const [row] = rowsOf("rank", "fc3");
    expect(row?.drop.count).toBe(800);
    const difference = run.variants[0]?.comparison?.difference;
    expect(row?.drop).toMatchObject({ value: -(difference?.value ?? 0), low: -(difference?.high ?? 0) });
  });

  test("states the saved bytes: zeros for unstructured pruning, else bytes that are no longer stored", () => {
    for (const { bytes, setting, saved } of rowsOf("prune", "fc2")) expect(saved / bytes).toBeCloseTo(setting, 2);
    const [eight, four] = rowsOf("bits", "fc2");
    // 8 bits store a scale and a zero point for each of 48 outputs of 64 numbers, 4 bits a scale for each block of 32.
    expect(eight?.saved).toBe(64 * 48 * 3 - 48 * 5);
    expect(four?.saved).toBe(64 * 48 * 3.5 - 2 * 48 * 4);
  });

  test("uses no more samples than determine its drop to a point, or to a quarter", () => {
    const few = analysis.rows.filter(({ drop }) => drop.count < 800);
    expect(few.length).toBeGreaterThan(10);
    for (const { drop } of few) expect((drop.high - drop.low) / 2).toBeLessThanOrEqual(Math.max(0.01, drop.value / 4));
    expect(Math.min(...few.map(({ drop }) => drop.count))).toBe(128);
  });

  test("gives the reason if the layer cannot be changed", () => {
    expect(analysis.misses).toEqual([
      { kind: "channels", at: "fc3", reason: expect.stringContaining("an output of the model") },
    ]);
  });
});

test("keeps the model unchanged, and gives the same values for the same seed", async () => {
  const before = await encodeToBytes(model);
  const again = await sensitivity(model, task, { kinds: ["prune"], layers: "fc1" });
  expect(await encodeToBytes(model)).toEqual(before);
  expect(again.rows).toEqual(rowsOf("prune", "fc1"));
});

test("changes layers whose names differ only in numbers together, on request", async () => {
  const { rows } = await sensitivity(model, task, { kinds: ["bits"], except: "fc3", alike: true });
  expect(rows.map(({ layers, setting }) => [layers.join("+"), setting])).toEqual(
    [8, 4, 3].map((bits) => ["fc1+fc2", bits]),
  );
});

test("a resumed sweep does not repeat measurements", async () => {
  const folder = temporaryFolder();
  const stop = new AbortController();
  const measured: string[] = [];
  const options = { kinds: ["prune"], resumeFolder: folder } as const;
  const stopped = sensitivity(model, task, options, {
    signal: stop.signal,
    progress: (done) => (done === 3 ? stop.abort() : undefined),
  });
  await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
  expect(readdirSync(folder)).toHaveLength(3);
  const engine = createEngine();
  const counting = {
    ...engine,
    load: (...given: Parameters<typeof engine.load>) => {
      measured.push("");
      return engine.load(...given);
    },
  };
  const counted = await sensitivity(model, task, options, { engine: counting });
  expect(counted.rows).toEqual(analysis.rows.filter(({ kind }) => kind === "prune"));
  const continued = measured.length;
  await sensitivity(model, task, options, { engine: counting });
  expect(readdirSync(folder)).toHaveLength(12);
  expect(measured.length - continued).toBeLessThan(continued / 4);
});

test("counts the remaining rows if the time limit is reached", async () => {
  const { rows, open } = await sensitivity(model, task, { kinds: ["prune"], minutes: 1e-9 });
  expect([rows, open]).toEqual([[], 12]);
});

test("rejects a model at chance level", async () => {
  const zero = model.clone();
  await prune(zero, { amount: 1 });
  await expect(sensitivity(zero, task)).rejects.toMatchObject({
    code: "E_DATA",
    message: expect.stringContaining("Nothing was done."),
  });
});

describe("an allocation", () => {
  test("of ranks has a smaller drop than equal ranks, in fewer bytes", async () => {
    const allocation = await allocationFrom(model, analysis, "rank");
    const uniform = await resultOf(recipeFrom({ steps: [{ factorize: { overrides: { "*": { budget: 0.5 } } } }] }));
    const allocated = await resultOf(allocation?.recipe ?? expect.fail());
    expect(allocated.bytes).toBeLessThan(uniform.bytes);
    expect(allocated.accuracy - uniform.accuracy).toBeGreaterThan(0.1);
  });

  test("of amounts has a smaller drop than equal amounts, with as many zeros", async () => {
    const half = analysis.rows.filter(({ kind, setting }) => kind === "prune" && setting === 0.6);
    const saved = half.reduce((sum, row) => sum + row.saved, 0);
    const allocation = await allocationFrom(model, analysis, "prune", { budget: 1 - saved / analysis.bytes });
    const uniform = await resultOf(recipeFrom({ steps: [{ prune: { amount: 0.6 } }] }));
    const allocated = await resultOf(allocation?.recipe ?? expect.fail());
    expect(allocated.zeros).toBeGreaterThanOrEqual(uniform.zeros - 1e-3);
    expect(allocated.accuracy).toBeGreaterThan(uniform.accuracy + 0.03);
  });

  test("costs at most its budget, and names layers with a setting", async () => {
    const allocation = await allocationFrom(model, analysis, "bits", { budget: 0.25 });
    expect(allocation?.share).toBeLessThanOrEqual(0.25);
    expect(allocation?.recipe.steps[0]).toMatchObject({ id: "quantize", options: { scheme: "weights" } });
    expect(await allocationFrom(model, analysis, "bits", { budget: 1 })).toBeUndefined();
    expect(await allocationFrom(model, { ...analysis, rows: [] }, "bits")).toBeUndefined();
  });

  // If two consecutive layers are both pruned, their savings overlap.
  test.each([
    ["channels", "bytes", 0.5],
    ["channels", "macs", 0.35],
    ["rank", "bytes", 0.6],
    ["rank", "macs", 0.6],
    ["prune", "bytes", 0.45],
    ["bits", "bytes", 0.22],
  ] as const)("of %s keeps its budget of %s, counted on the result", async (kind, cost, budget) => {
    const allocation = await allocationFrom(model, analysis, kind, { budget, cost });
    const { model: result, run } = await runRecipe(model, allocation?.recipe ?? expect.fail(), task, {
      force: true,
      rounds: 0,
    });
    const zeros = kind === "prune" ? (run.variants[0]?.result?.zeros ?? 0) : 0;
    const costOf = (net: Model): number => (cost === "macs" ? Number(macsPerSample(net)) : storedBytes(net.graph));
    const remaining = costOf(result) / costOf(model) - zeros;
    expect(remaining).toBeCloseTo(allocation?.share ?? Number.NaN, 2);
    expect(remaining).toBeLessThanOrEqual(budget + 0.005);
    expect(remaining).toBeGreaterThan(budget - 0.04);
  });

  test("reports the remaining share if the harshest settings do not reach the budget", async () => {
    const allocation = await allocationFrom(model, analysis, "channels", { budget: 0.01 });
    expect(allocation?.share).toBeGreaterThan(0.01);
    expect(allocation?.rows.map(({ setting }) => setting)).toEqual([0.8, 0.8]);
  });

  test("applies the same settings once, on one copy of the model", async () => {
    const clone = vi.spyOn(Model.prototype, "clone");
    const allocation = await allocationFrom(model, analysis, "prune", { budget: 0.2 });
    expect(allocation?.rows.map(({ setting }) => setting)).toEqual([0.8, 0.8, 0.8]);
    expect(clone).toHaveBeenCalledTimes(2);
    clone.mockRestore();
  });
});

const llama = shared("data/models/llama260k.onnx");

test.skipIf(llama === undefined)("bits are measured in a model whose stored mask is quantized as well", async () => {
  const decoder = await open(llama ?? "");
  const settings = { kind: "bits", layers: ["lm_head"], setting: 4 } as const;
  const changes = await applySetting(settings.kind, settings.layers, settings.setting, decoder, completeContext({}));
  expect(changes).toContainEqual(expect.objectContaining({ at: "lm_head", bits: 4 }));
});
