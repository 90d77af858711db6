/** Recipes from the original to the file: changes, measurements, and which results are kept or rejected. */
import * as v from "valibot";
import { beforeAll, describe, expect, test } from "vitest";
import { Miss } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { definePass } from "../../src/core/pass/pass.ts";
import { toFloat32 } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import type { Dataset } from "../../src/data/batches/dataset.ts";
import { take } from "../../src/data/index.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { maxCalibrationSamples, openSteps } from "../../src/judge/recipe/pass-steps.ts";
import { compress, runRecipe } from "../../src/judge/run/compress.ts";
import { size } from "../../src/runtime/run/model-size.ts";
import { evenly, pruneTuneQuantize, quick, recipe, task, trained, weights } from "./blobs.ts";

let net: Model;

beforeAll(async () => {
  net = await trained();
});

describe("prune, train, quantize", () => {
  test("reports the changes, misses and cost of each step", async () => {
    const { run } = await runRecipe(net, pruneTuneQuantize, task, quick);
    const [prune, train, quantize] = run.variants[0]?.steps ?? [];
    expect(prune?.changes.map(({ at }) => at)).toEqual(["fc1", "fc2"]);
    expect(prune?.misses).toEqual([{ at: "fc3", reason: expect.stringMatching(/output of the model$/), by: "output" }]);
    expect(prune?.after?.macs).toBeLessThan(run.original.macs ?? 0);
    // 16 × 64 + 64 × 48 + 48 × 8
    expect(run.original.macs).toBe(4480);
    expect(train?.history).toHaveLength(3);
    expect(train?.curve?.losses.length).toBeGreaterThan(2);
    expect(prune?.curve).toBeUndefined();
    expect(train?.options).toMatchObject({ epochs: 3, accumulate: 1 });
    expect(train?.after?.estimate.value).toBeGreaterThan(prune?.after?.estimate.value ?? 1);
    expect(train?.after?.bytes).toBe(prune?.after?.bytes);
    expect(quantize?.after?.bytes).toBeLessThan(train?.after?.bytes ?? 0);
    expect(quantize?.agreement?.value).toBeGreaterThan(0.9);
  });
});

describe("masks", () => {
  test("stay through training and are folded into the file", async () => {
    const { model, run, bytes } = await runRecipe(
      net,
      recipe({ prune: { amount: 0.5, keepMasks: true } }, { train: { epochs: 1 } }),
      task,
      quick,
    );
    const values = await weights(model, "fc2.weight");
    expect(values.filter((value) => value === 0)).toHaveLength(values.length / 2);
    expect([...model.graph.values()].filter(({ role }) => role?.kind === "mask")).toEqual([]);
    expect(model.graph.nodeCount).toBe(net.graph.nodeCount);
    const { result } = run.variants[0] ?? {};
    expect(result?.bytes).toBe(run.original.bytes);
    expect(result?.brotli).toBeLessThan(0.75 * (run.original.brotli ?? 0));
    expect(result).toMatchObject(await size(bytes));
    // Each file has one compressed size.
    expect(
      run.variants.flatMap(({ steps }) => steps.filter(({ after }) => after && ("brotli" in after || "gzip" in after))),
    ).toEqual([]);
  });
});

describe("a custom pass", () => {
  const seen: (string | undefined)[] = [];
  const halve = definePass({
    id: "halve",
    summary: "Halve a stored value",
    options: v.strictObject({
      value: v.string(),
      times: v.optional(v.number(), 1),
      samples: v.optional(v.number(), 32),
      data: v.optional(v.custom<Dataset>((data) => typeof data === "object")),
    }),
    data: { when: ({ times }) => (times === 2 ? "halving twice looks at samples" : undefined) },
    async run(model, { value, times, data }) {
      seen.push(data?.name);
      const tensor = model.graph.value(value)?.tensor;
      if (tensor === undefined) return { changes: [], misses: [new Miss("is not stored", value)] };
      const numbers = toFloat32(await tensor.read()).map((number) => number / 2 ** times);
      const target = model.graph.value(value);
      if (target !== undefined) target.tensor = inMemory({ type: "float32", dims: tensor.dims, data: numbers });
      return { changes: [{ at: value, what: "halved", decidedBy: "global" }], misses: [] };
    },
  });
  const steps = { steps: [{ halve: { value: "fc3.bias", times: 2 } }, { quantize: { scheme: "weights" } }] };

  test("is a recipe step between built-in ones, with its options and samples", async () => {
    const mixed = recipeFrom(steps, "recipe", [halve]);
    const { run, model } = await runRecipe(net, mixed, task, { ...quick, passes: [halve] });
    expect(run.variants[0]?.steps.map(({ id, options }) => [id, options])).toEqual([
      ["halve", { value: "fc3.bias", times: 2, samples: 32 }],
      ["quantize", expect.objectContaining({ scheme: "weights" })],
    ]);
    const before = await weights(net, "fc3.bias");
    expect(await weights(model, "fc3.bias")).toEqual(before.map((value) => value / 4));
    expect(maxCalibrationSamples(await openSteps(mixed, [halve]))).toBe(32);
    expect(seen).toEqual(["calibrate"]);
  });

  test("is unknown unless it is passed, and its options are checked", async () => {
    expect(() => recipeFrom(steps)).toThrow('"halve" is not a step');
    await expect(runRecipe(net, recipeFrom(steps, "recipe", [halve]), task, quick)).rejects.toMatchObject({
      code: "E_OPTION",
      message: 'There is no step "halve".',
    });
    expect(() => recipeFrom({ steps: [{ halve: { valeu: "a" } }] }, "recipe", [halve])).toThrow(
      'halve has no option "valeu"',
    );
  });
});

describe("distillation", () => {
  const shrunk = { prune: { ...evenly, amount: 0.5 } };

  test("uses the original as teacher if the recipe names it", async () => {
    const steps = recipe(shrunk, { distill: { teacher: "original", epochs: 4, alpha: 1, learningRate: 0.005 } });
    const { run } = await runRecipe(net, steps, task, quick);
    const [pruned, distilled] = run.variants[0]?.steps ?? [];
    expect(distilled?.agreement?.value).toBeGreaterThan((pruned?.agreement?.value ?? 1) + 0.05);
    const losses = distilled?.history?.map(({ loss }) => loss) ?? [];
    expect(losses.at(-1)).toBeLessThan(losses[0] ?? 0);
  });

  test("requires an existing teacher", async () => {
    const steps = recipe(shrunk, { distill: { teacher: "/no/such/teacher.onnx" } });
    await expect(runRecipe(net, steps, task, quick)).rejects.toMatchObject({ code: "E_FILE" });
  });
});

describe("a run rejects", () => {
  test("no slight drop, which is written with a warning", async () => {
    const steps = recipe({ prune: { ...evenly, amount: 0.4 } });
    const { run } = await runRecipe(net, steps, task, { ...quick, goal: { maxDrop: 0.3 } });
    expect(run.chosen).toBe(0);
    expect(run.warnings).toEqual([
      expect.stringMatching(/^accuracy is worse \(−\d+\.\d+ points\), which is statistically significant$/),
    ]);
  });

  test.each([
    ["a recipe", [{ recover: {} }, { quantize: { scheme: "weights" } }]],
    ["a recipe that trains", [{ train: { epochs: 3 } }, { quantize: { scheme: "weights" } }]],
  ])("%s whose pruning removes less than a block, without training, although it is forced", async (_, more) => {
    const stages: string[] = [];
    const steps = recipeFrom({ version: 1, steps: [{ prune: { amount: 0.02, structured: true } }, ...more] });
    const options = { ...quick, force: true, onStage: (name: string) => stages.push(name) };
    await expect(runRecipe(net, steps, task, options)).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringMatching(/^Nothing changed: fc1: no channel is among the lowest-scoring 2 %/),
    });
    expect(stages).not.toContain("train");
    expect(stages).not.toContain("recover");
  });

  test("a recipe that changes nothing, with the first reason", async () => {
    const steps = recipe({ factorize: { layers: "fc3", rank: 8 } });
    await expect(runRecipe(net, steps, task, quick)).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringMatching(/^Nothing changed: fc3: rank 8 does not make the layer smaller/),
    });
  });

  test("weights that are NaN", async () => {
    const steps = recipe({ train: { epochs: 1, learningRate: 1e30, optimizer: "sgd" } });
    await expect(runRecipe(net, steps, task, quick)).rejects.toMatchObject({
      code: expect.stringMatching(/E_DIVERGED|E_ACCURACY_LOST/),
    });
  });

  test("training without a training split", async () => {
    const { train: _, ...untrained } = task;
    await expect(runRecipe(net, recipe({ train: {} }), untrained, quick)).rejects.toMatchObject({ code: "E_OPTION" });
  });
});

test("chooses weights by the metric of the run", async () => {
  const messages: string[] = [];
  const log = ({ text }: { readonly text: string }): void => void messages.push(text);
  const steps = recipe({ prune: { amount: 0.5 } }, { train: { epochs: 1, validation: 0.1 } });
  await runRecipe(net, steps, task, quick, { log });
  const evaluations = messages.filter((text) => text.includes("validation"));
  expect(evaluations.at(-1)).toMatch(/^after 11 steps: validation accuracy \d+\.\d\d %$/);
});

test("warns if the result is not smaller", async () => {
  const { run } = await runRecipe(
    net,
    recipe({ prune: { amount: 0.5, keepMasks: true } }, { train: { epochs: 1 } }),
    task,
    quick,
  );
  expect(run.warnings).toEqual([
    expect.stringMatching(/^the result is not smaller than the original: .* kB against .*; after brotli it is/),
  ]);
});

test("stops on the signal, between steps and inside them", async () => {
  for (const at of ["prune", "train", "evaluate"]) {
    const controller = new AbortController();
    const onStage = (name: string): void => {
      if (name.endsWith(at)) controller.abort();
    };
    const stopped = runRecipe(net, pruneTuneQuantize, task, { ...quick, onStage }, { signal: controller.signal });
    await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
  }
});

test.each([1, 2])("a run of %i candidates stops during the comparison of a result with the original", async (count) => {
  const controller = new AbortController();
  const stages: string[] = [];
  const onStage = (name: string): void => {
    stages.push(name);
    if (name === "compare") controller.abort();
  };
  const few = { ...task, test: take(task.test, 24) };
  const candidates = ["weights", "dynamic"].map((scheme) => ({
    name: scheme,
    recipe: recipe({ quantize: { scheme } }),
  }));
  const stopped = compress(net, candidates.slice(0, count), few, { ...quick, onStage }, { signal: controller.signal });
  await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
  expect(stages.at(-1)).toBe("compare");
});
