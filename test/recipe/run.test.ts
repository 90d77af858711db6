/** Recipes from the original to the file: changes, measurements, and which results are kept or rejected. */
import * as v from "valibot";
import { beforeAll, describe, expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { Miss } from "../../src/core/errors.ts";
import { structureHash } from "../../src/core/graph/hash.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { open } from "../../src/core/onnx/index.ts";
import { definePass } from "../../src/core/pass/pass.ts";
import { toFloat32 } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import type { Dataset } from "../../src/data/batches/types.ts";
import { take } from "../../src/data/index.ts";
import { evaluate } from "../../src/judge/index.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { calibrationSamples } from "../../src/judge/recipe/pass-steps.ts";
import { compress, runRecipe } from "../../src/judge/run/run.ts";
import { crossEntropy } from "../../src/runtime/metrics/metrics.ts";
import { size } from "../../src/runtime/run/size.ts";
import { evenly, pruneTuneQuantize, quick, recipe, task, trained, weights } from "./blobs.ts";

let net: Model;

beforeAll(async () => {
  net = await trained();
});

describe("prune, train, quantize", () => {
  test("writes a smaller file with the metric values that the run reports", async () => {
    const before = structureHash(net);
    const { run, bytes } = await runRecipe(net, pruneTuneQuantize, task, { goal: { maxDrop: 0.05 }, rounds: 3 });
    expect(structureHash(net)).toBe(before);
    const [variant] = run.variants;
    expect(run.chosen).toBe(0);
    expect(variant?.name).toBe("prune + train + quantize");
    expect(variant?.steps.map(({ id }) => id)).toEqual(["prune", "train", "quantize"]);
    expect(variant?.result?.bytes).toBe(bytes.length);
    expect(bytes.length).toBeLessThan(run.original.bytes / 3);
    expect(variant?.verdict?.met).toBe(true);
    expect(run.latency?.models).toHaveLength(2);
    expect(run.latency?.inputs).toEqual({ input: "float32[1, 16]" });
    // The file alone gives the same metric values.
    const again = await evaluate(createEngine(), await open(bytes), task.test, task.metric);
    expect(again.estimate).toEqual(variant?.result?.estimate);
    expect(Object.values(run.data).filter((part) => typeof part === "object")).toHaveLength(2);
    expect(JSON.parse(JSON.stringify(run)).variants).toHaveLength(1);
  });

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

  test("uses no test samples in any step", async () => {
    let stage = "";
    const reads: string[] = [];
    const watched = (part: Dataset, name: string): Dataset => ({
      name: part.name,
      count: part.count,
      batches(options) {
        reads.push(`${name} in ${stage}`);
        return part.batches(options);
      },
    });
    const parts = {
      ...task,
      train: watched(task.train, "train"),
      calibrate: watched(task.calibrate, "calibrate"),
      test: watched(task.test, "test"),
    };
    const steps = recipe({ train: { epochs: 1 } }, { quantize: { scheme: "static" } });
    await runRecipe(net, steps, parts, { ...quick, onStage: (name) => (stage = name) });
    const during = reads.filter((read) => /in (train|quantize)$/.test(read));
    expect(new Set(during)).toEqual(new Set(["train in train", "calibrate in quantize"]));
    expect(reads).toContain("test in evaluate");
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
    expect(calibrationSamples(mixed, [halve])).toBe(32);
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
  const tooMuch = recipe({ prune: { ...evenly, amount: 0.95 } });

  test("a significant drop above a point without a goal, unless forced", async () => {
    const moved =
      /^Accuracy went from 9\d\.\d % to \d+\.\d %: −\d+\.\d points \(95 % interval .*, 800 samples\); 1\.0 points allowed\.$/;
    await expect(runRecipe(net, tooMuch, task, quick)).rejects.toMatchObject({
      code: "E_ACCURACY_LOST",
      message: expect.stringMatching(moved),
    });
    const { run, bytes } = await runRecipe(net, tooMuch, task, { ...quick, force: true });
    expect(run.goal).toEqual({ maxDrop: 0.01 });
    expect(run.variants[0]?.verdict).toMatchObject({ verdict: "lost", met: false });
    expect(bytes.length).toBe(run.variants[0]?.result?.bytes);
    await expect(runRecipe(net, tooMuch, { ...task, metric: crossEntropy() }, quick)).rejects.toMatchObject({
      message: expect.stringMatching(/^Cross-entropy went from .* nats .*; 0\.0100 nats allowed\.$/),
    });
  });

  test("no slight drop, which is written with a warning", async () => {
    const steps = recipe({ prune: { ...evenly, amount: 0.4 } });
    const { run } = await runRecipe(net, steps, task, { ...quick, goal: { maxDrop: 0.3 } });
    expect(run.chosen).toBe(0);
    expect(run.warnings).toEqual([
      expect.stringMatching(/^accuracy is worse \(−\d+\.\d+ points\), more than chance explains$/),
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
      message: expect.stringMatching(/^Nothing changed: fc1: no channel of this layer is in the lowest-scoring 2 %/),
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

describe("an output without a metric", () => {
  /** Steps that prune the output `features`, whose weights are not trained again because the loss is on the other output. */
  const steps = (training: object) =>
    recipe({ prune: { amount: 0.95, layers: "features" }, judge: false }, training, {
      quantize: { scheme: "weights" },
    });
  const answered = async () => {
    const model = parseModel(`opset 21
graph (input: float32[batch, 16]) -> (logits: float32[batch, 8], features: float32[batch, 16]) {
  body: float32[16, 8] = random(seed 1)
  side: float32[16, 16] = random(seed 2)
  logits = MatMul(input, body)
  features = MatMul(input, side)
}`);
    await runRecipe(model, recipe({ train: { epochs: 1 } }), task, { ...quick, force: true });
    return model;
  };

  test("is compared with the original after distillation, but not after training with labels", async () => {
    const model = await answered();
    const learnt = steps({ distill: { teacher: "original", epochs: 1 } });
    await expect(runRecipe(model, learnt, task, { ...quick, goal: { maxDrop: 1 } })).rejects.toMatchObject({
      code: "E_ACCURACY_LOST",
      message: expect.stringContaining("features"),
    });
    const { run } = await runRecipe(model, steps({ train: { epochs: 1 } }), task, { ...quick, force: true });
    expect(run.variants[0]?.others).toBeUndefined();
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

test("rejects a result without gain: not smaller, faster or better", async () => {
  const steps = recipe({ train: { epochs: 1, learningRate: 1e-12 } });
  await expect(runRecipe(net, steps, task, quick)).rejects.toMatchObject({
    code: "E_UNSUPPORTED",
    message: "Nothing was gained: the file is no smaller (1.00 ×).",
  });
  await expect(runRecipe(net, steps, task, { ...quick, force: true })).resolves.toMatchObject({ run: { chosen: 0 } });
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
      if (name === at) controller.abort();
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
