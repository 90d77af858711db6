/** Recipes from the original to the file: changes, measurements, and which results are kept or rejected. */
import * as v from "valibot";
import { beforeAll, describe, expect, test } from "vitest";
import { reportPage } from "../../src/app/report/html.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { Miss } from "../../src/core/errors.ts";
import { structureHash } from "../../src/core/graph/hash.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { open } from "../../src/core/onnx/index.ts";
import { definePass } from "../../src/core/pass/pass.ts";
import { toFloat32, toFloat64 } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import type { Dataset } from "../../src/data/batches/types.ts";
import { memory, take } from "../../src/data/index.ts";
import { accuracy, crossEntropy, evaluate } from "../../src/judge/index.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { calibrationSamples } from "../../src/judge/recipe/pass-steps.ts";
import type { Measured } from "../../src/judge/record/data.ts";
import { compress, runRecipe } from "../../src/judge/run/run.ts";
import { size } from "../../src/runtime/run/size.ts";
import { task, trained } from "./blobs.ts";

let net: Model;

beforeAll(async () => {
  net = await trained();
});

const recipe = (...steps: readonly object[]) => recipeFrom({ steps });
/** Options that remove the same share of the channels of each layer, without samples. */
const evenly = { structured: true, importance: "magnitude", scope: "uniform", roundTo: 1 };
const pruneTuneQuantize = recipe(
  { prune: { ...evenly, amount: 0.4 } },
  { train: { epochs: 3 } },
  { quantize: { scheme: "weights" } },
);
const quick = { rounds: 0 };

async function weights(model: Model, name: string): Promise<Float64Array> {
  const tensor = model.graph.value(name)?.tensor;
  if (tensor === undefined) throw new Error(`There is no stored "${name}".`);
  return toFloat64(await tensor.read());
}

test("counts the operations of the timed input: 128 tokens, or the requested length", async () => {
  const text = parseModel(`opset 21
graph (ids: int64[batch, sequence]) -> (logits: float32[batch, 2]) {
  table: float32[40, 48] = random(seed 1)
  wide: float32[48, 32] = random(seed 2)
  out: float32[32, 2] = random(seed 3)
  words = Gather(table, ids)
  h = MatMul(words, wide)
  mean = ReduceMean(h, axes) {keepdims=0}
  axes: int64[1] = [1]
  logits = MatMul(mean, out)
}`);
  const data = {
    type: "int64",
    dims: [40, 7],
    data: BigInt64Array.from({ length: 280 }, (_, at) => BigInt(at % 40)),
  } as const;
  const label = {
    type: "int64",
    dims: [40],
    data: BigInt64Array.from({ length: 40 }, (_, at) => BigInt(at % 2)),
  } as const;
  const words = { test: memory("words", { ids: data, label }), metric: accuracy() };
  const runWith = async (more: object) =>
    (await runRecipe(text, recipe({ quantize: { scheme: "weights" } }), words, { rounds: 2, force: true, ...more }))
      .run;
  for (const length of [undefined, 16]) {
    const { original, latency } = await runWith({ length });
    const tokens = length ?? 128;
    expect(original.macs).toBe(tokens * 48 * 32 + 32 * 2);
    expect(latency?.inputs).toEqual({ ids: `int64[1, ${tokens}]` });
  }
});

test("numbers steps of the same name in messages", async () => {
  const steps = recipe({ prune: { amount: 0.2 } }, { "lower-fused": {} }, { prune: { amount: 0.4 } });
  const stages: string[] = [];
  const measured: string[] = [];
  const onStage = (name: string) => stages.push(name);
  const onMeasured = ({ name }: Measured) => measured.push(name);
  const { run } = await runRecipe(net, steps, task, { ...quick, onStage, onMeasured });
  const name = "prune 1 + lower-fused + prune 2";
  expect(run.variants.map((one) => one.name)).toEqual([name]);
  expect(stages).toEqual(expect.arrayContaining(["prune 1", "lower-fused", "prune 2"]));
  expect(measured).toEqual(
    expect.arrayContaining(["prune 1", "lower-fused", "prune 2"].map((step) => `${name}, after ${step}`)),
  );
  expect(run.variants[0]?.steps.map(({ id }) => id)).toEqual(["prune", "lower-fused", "prune"]);
  const page = reportPage(run);
  expect([...page.matchAll(/<h3>(.*?)<\/h3>/g)].map(([, title]) => title)).toEqual([
    "prune 1",
    "lower-fused",
    "prune 2",
  ]);
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

  test("gives the same bytes for the same seed, and different ones for another seed", async () => {
    const bytesOf = async (seed: number) => (await runRecipe(net, pruneTuneQuantize, task, quick, { seed })).bytes;
    const [first, again, other] = [await bytesOf(1), await bytesOf(1), await bytesOf(2)];
    expect(Buffer.compare(first, again)).toBe(0);
    expect(Buffer.compare(first, other)).not.toBe(0);
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

  test("are folded before a step that requires stored weights", async () => {
    const steps = recipe({ prune: { amount: 0.5, keepMasks: true } }, { factorize: { layers: "fc2", rank: 12 } });
    const { run } = await runRecipe(net, steps, task, { ...quick, force: true });
    expect(run.variants[0]?.steps[1]?.changes.map(({ at }) => at)).toEqual(["fc2"]);
  });
});

test("the functions of torch.nn.utils.prune are steps", async () => {
  const keptOnes = { dims: [8], data: [1, 1, 1, 1, 1, 1, 1, 0] };
  const steps = recipe(
    { "l1-unstructured": { layers: "fc1", amount: 0.5 } },
    { "ln-structured": { layers: "fc2", amount: 0.25, n: 2, dim: 0 } },
    { "custom-from-mask": { layers: "fc3", parameter: "bias", mask: keptOnes } },
    { train: { epochs: 1 } },
    { remove: { layers: "fc1" } },
  );
  const { run, model } = await runRecipe(net, steps, task, { ...quick, force: true });
  const records = run.variants[0]?.steps ?? [];
  expect(records.map(({ changes }) => changes.length)).toEqual([1, 1, 1, expect.any(Number), 1]);
  const zeros = async (name: string) => (await weights(model, name)).filter((value) => value === 0).length;
  expect(await zeros("fc1.weight")).toBe((16 * 64) / 2);
  expect(await zeros("fc2.weight")).toBe((64 * 48) / 4);
  expect((await weights(model, "fc3.bias")).indexOf(0)).toBe(7);
  expect(await zeros("fc3.bias")).toBe(1);
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

test("weights from quantization-aware training are quantized, also in a pruned model", async () => {
  const steps = recipe(
    { prune: { amount: 0.5, keepMasks: true } },
    { "fake-quantize": { scheme: "static" } },
    { train: { epochs: 1 } },
    { quantize: { scheme: "static" } },
  );
  const { run, model } = await runRecipe(net, steps, task, quick);
  const [, rounded, tuned, coded] = run.variants[0]?.steps ?? [];
  expect(rounded?.changes.length).toBeGreaterThan(0);
  expect(tuned?.history).toHaveLength(1);
  expect(coded?.after?.bytes).toBeLessThan(0.6 * run.original.bytes);
  // Quantized values give the same accuracy as simulated rounding.
  expect(Math.abs((coded?.after?.estimate.value ?? 0) - (tuned?.after?.estimate.value ?? 1))).toBeLessThan(0.01);
  expect([...model.graph.values()].filter(({ role }) => role?.kind === "straight-through")).toEqual([]);
  const codes = [...model.graph.values()].find(({ name, tensor }) => name.startsWith("fc2") && tensor?.type === "int8");
  const read = await codes?.tensor?.read();
  const stored = read === undefined ? [] : [...toFloat64(read)];
  expect(stored).not.toEqual([]);
  expect(stored.filter((code) => code === 0).length).toBeGreaterThanOrEqual(stored.length / 2);
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

  test("derives a student from the model, which is its teacher", async () => {
    const { run } = await runRecipe(
      net,
      recipe({ distill: { shrink: 0.5, epochs: 4, learningRate: 0.005 } }),
      task,
      quick,
    );
    const [distilled] = run.variants[0]?.steps ?? [];
    expect(distilled?.after?.macs).toBeLessThan(0.5 * (run.original.macs ?? 0));
    expect(distilled?.agreement?.value).toBeGreaterThan(0.95);
  });

  test("trains a factorized student", async () => {
    const thin = { factorize: { overrides: { "*": { budget: 0.5 } } } };
    const steps = recipe(thin, { distill: { teacher: "original", epochs: 4, alpha: 1, learningRate: 0.005 } });
    const { run } = await runRecipe(net, steps, task, { ...quick, force: true });
    const [factorized, distilled] = run.variants[0]?.steps ?? [];
    expect(distilled?.after?.macs).toBe(factorized?.after?.macs);
    expect(distilled?.agreement?.value).toBeGreaterThan((factorized?.agreement?.value ?? 1) + 0.05);
  });

  test("trains with quantization: 2 bits predict like the original", async () => {
    const rounded = { "fake-quantize": { scheme: "weights", bits: 2 } };
    const distill = { teacher: "original", epochs: 4, alpha: 1, learningRate: 0.002 };
    const { run, model } = await runRecipe(
      net,
      recipe(rounded, { distill }, { quantize: { scheme: "weights" } }),
      task,
      quick,
    );
    const [before, distilled, coded] = run.variants[0]?.steps ?? [];
    expect(distilled?.agreement?.value).toBeGreaterThan(before?.agreement?.value ?? 1);
    expect(Math.abs((coded?.agreement?.value ?? 0) - (distilled?.agreement?.value ?? 1))).toBeLessThan(0.01);
    const codes = [...model.graph.values()].flatMap(({ tensor }) =>
      tensor?.type === "int4" && tensor.dims.length === 2 ? [tensor] : [],
    );
    expect(codes).toHaveLength(3);
    for (const tensor of codes) expect(new Set(toFloat64(await tensor.read())).size).toBeLessThanOrEqual(4);
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
      expect.stringMatching(/^accuracy is worse \(−\d+\.\d points\), more than chance explains$/),
    ]);
  });

  test("a result whose few predictions are not significant, but whose raw outputs are", async () => {
    const few = { ...task, test: take(task.test, 4) };
    await expect(runRecipe(net, tooMuch, few, quick)).rejects.toMatchObject({
      code: "E_ACCURACY_LOST",
      message: expect.stringMatching(/^On the samples the signal to noise is .* dB, at least 3 dB are required/),
    });
    const { run } = await runRecipe(net, tooMuch, few, { ...quick, force: true });
    expect(run.variants[0]?.likeness).toMatchObject({ samples: 4, ofData: true, lost: expect.any(String) });
    const fine = await runRecipe(net, recipe({ quantize: { scheme: "weights" } }), few, quick);
    expect(fine.run.variants[0]?.likeness).toMatchObject({ samples: 4, ofData: true, lost: undefined });
    const enough = await runRecipe(net, recipe({ quantize: { scheme: "weights" } }), task, quick);
    expect(enough.run.variants[0]?.likeness).toBeUndefined();
  });

  test("a result that misses the goal, unless forced", async () => {
    const some = recipe({ prune: { ...evenly, amount: 0.4 } });
    const allowed = { ...quick, goal: { maxDrop: 0.3 } };
    await expect(runRecipe(net, some, task, allowed)).resolves.toMatchObject({ run: { chosen: 0 } });
    const options = { ...quick, goal: { maxDrop: 0.01 } };
    await expect(runRecipe(net, some, task, options)).rejects.toMatchObject({
      code: "E_ACCURACY_LOST",
      message: expect.stringContaining("; 1.0 points allowed"),
    });
    const { run } = await runRecipe(net, some, task, { ...options, force: true });
    expect(run.variants[0]?.verdict).toMatchObject({ verdict: "lost", met: false });
  });

  test("a goal that only the estimate meets, if its bound is required", async () => {
    const steps = recipe({ quantize: { scheme: "dynamic" } });
    const goal = { maxDrop: 0.003 };
    await expect(runRecipe(net, steps, task, { ...quick, goal })).resolves.toMatchObject({ run: { chosen: 0 } });
    await expect(runRecipe(net, steps, task, { ...quick, goal: { ...goal, strict: true } })).rejects.toMatchObject({
      code: "E_ACCURACY_LOST",
      message: expect.stringMatching(
        /800 samples\); 0\.3 points allowed, and --strict requires the whole interval to be within that; (about [\d,]+ samples|the loss is close)/,
      ),
    });
  });

  test("a result above a target size, which replaces the goal", async () => {
    const some = recipe({ prune: { ...evenly, amount: 0.4 } });
    const { run, bytes } = await runRecipe(net, some, task, { ...quick, targetSize: 1e6 });
    expect(run.chosen).toBe(0);
    expect(run.variants[0]?.comparison?.difference.value).toBeLessThan(-0.01);
    const outcome = await compress(net, [{ name: "cut", recipe: some }], task, {
      ...quick,
      targetSize: bytes.length - 1,
    });
    expect(outcome.result).toBeUndefined();
    expect(outcome.run.variants[0]).toMatchObject({
      refusedAs: "off target",
      refused: expect.stringContaining("it has more than"),
    });
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

test("does not count removed export metadata as a gain", async () => {
  const noted = net.clone();
  for (const node of noted.graph.nodes())
    node.metadata = new Map([["pkg.torch.onnx.stack_trace", "File model.py, line 1".repeat(2000)]]);
  await expect(runRecipe(noted, recipe({ prune: { amount: 0.001 } }), task, quick)).rejects.toMatchObject({
    code: "E_UNSUPPORTED",
    message: expect.stringContaining("the file is no smaller (1.00 ×)"),
  });
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

test("does not report progress messages as warnings", async () => {
  const ids: string[] = [];
  const log = ({ id }: { readonly id: string }): void => void ids.push(id);
  const { run } = await runRecipe(net, pruneTuneQuantize, task, quick, { log });
  expect(ids).toContain("epoch");
  expect(run.warnings).toEqual([]);
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
