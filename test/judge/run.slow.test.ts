/** More recipes from the original to the file: training of students, seeds, and which results are kept or rejected. */
import { beforeAll, describe, expect, test } from "vitest";
import { reportPage } from "../../src/app/report/report-page.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { structureHash } from "../../src/core/graph/structure-hash.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { open } from "../../src/core/onnx/index.ts";
import { toFloat64 } from "../../src/core/tensor/convert.ts";
import type { Dataset } from "../../src/data/batches/dataset.ts";
import { memory, take } from "../../src/data/index.ts";
import { accuracy, evaluate } from "../../src/judge/index.ts";
import type { Measured } from "../../src/judge/record/run-record.ts";
import { compress, runRecipe } from "../../src/judge/run/compress.ts";
import { crossEntropy } from "../../src/runtime/metrics/class-metrics.ts";
import { evenly, pruneTuneQuantize, quick, recipe, task, trained, weights } from "./blobs.ts";

let net: Model;

beforeAll(async () => {
  net = await trained();
});

test("counts the operations of the timed input, the first sample", async () => {
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
  const steps = recipe({ quantize: { scheme: "weights" } });
  const { original, latency } = (await runRecipe(text, steps, words, { rounds: 2, force: true })).run;
  expect(original.macs).toBe(7 * 48 * 32 + 32 * 2);
  expect(latency?.inputs).toEqual({ ids: "int64[1, 7]" });
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
  expect(stages).toEqual(
    expect.arrayContaining(["step 1 of 3: prune 1", "step 2 of 3: lower-fused", "step 3 of 3: prune 2"]),
  );
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
  test("gives the same bytes for the same seed, and different ones for another seed", async () => {
    const bytesOf = async (seed: number) => (await runRecipe(net, pruneTuneQuantize, task, quick, { seed })).bytes;
    const [first, again, other] = [await bytesOf(1), await bytesOf(1), await bytesOf(2)];
    expect(Buffer.compare(first, again)).toBe(0);
    expect(Buffer.compare(first, other)).not.toBe(0);
  });
});

describe("masks", () => {
  test("are folded before a step that requires stored weights", async () => {
    const steps = recipe({ prune: { amount: 0.5, keepMasks: true } }, { factorize: { layers: "fc2", rank: 12 } });
    const { run } = await runRecipe(net, steps, task, { ...quick, force: true });
    expect(run.variants[0]?.steps[1]?.changes.map(({ at }) => at)).toEqual(["fc2"]);
  });
});

test("masks of weights are steps", async () => {
  const mask = { dims: [8, 48], data: Array.from({ length: 48 * 8 }, (_, at) => Number(at !== 7)) };
  const steps = recipe(
    { prune: { layers: "fc1", amount: 0.5, keepMasks: true } },
    { "custom-from-mask": { layers: "fc3", mask } },
    { train: { epochs: 1 } },
    { remove: { layers: "fc1" } },
  );
  const { run, model } = await runRecipe(net, steps, task, { ...quick, force: true });
  const records = run.variants[0]?.steps ?? [];
  expect(records.map(({ changes }) => changes.length)).toEqual([1, 1, expect.any(Number), 1]);
  const zeros = async (name: string) => (await weights(model, name)).filter((value) => value === 0).length;
  expect(await zeros("fc1.weight")).toBe((16 * 64) / 2);
  expect((await weights(model, "fc3.weight")).indexOf(0)).toBe(7);
  expect(await zeros("fc3.weight")).toBe(1);
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
});

describe("a run rejects", () => {
  const tooMuch = recipe({ prune: { ...evenly, amount: 0.95 } });

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
      rejectedAs: "off target",
      rejected: expect.stringContaining("it has more than"),
    });
    const download = { ...quick, targetSize: bytes.length - 1, purpose: "download" } as const;
    expect((await runRecipe(net, some, task, download)).run.chosen).toBe(0);
  });
});

test("does not count removed export metadata as a gain", async () => {
  const noted = net.clone();
  for (const node of noted.graph.nodes())
    node.metadata = new Map([["pkg.torch.onnx.stack_trace", "File model.py, line 1".repeat(2000)]]);
  await expect(runRecipe(noted, recipe({ prune: { amount: 0.001 } }), task, quick)).rejects.toMatchObject({
    code: "E_UNSUPPORTED",
    message: expect.stringContaining("the file is not smaller (1.00 ×)"),
  });
});

test("does not report progress messages as warnings", async () => {
  const ids: string[] = [];
  const log = ({ id }: { readonly id: string }): void => void ids.push(id);
  const { run } = await runRecipe(net, pruneTuneQuantize, task, quick, { log });
  expect(ids).toContain("epoch");
  expect(run.warnings).toEqual([]);
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
    await runRecipe(net, steps, parts, { ...quick, onStage: (name) => (stage = name.replace(/^step \d of 2: /, "")) });
    const during = reads.filter((read) => /in (train|quantize)$/.test(read));
    expect(new Set(during)).toEqual(new Set(["train in train", "calibrate in quantize"]));
    expect(reads).toContain("test in evaluate");
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

test("rejects a result without gain: not smaller, faster or better", async () => {
  const steps = recipe({ train: { epochs: 1, learningRate: 1e-12 } });
  await expect(runRecipe(net, steps, task, quick)).rejects.toMatchObject({
    code: "E_UNSUPPORTED",
    message: "Nothing was gained: the file is not smaller (1.00 ×).",
  });
  await expect(runRecipe(net, steps, task, { ...quick, force: true })).resolves.toMatchObject({ run: { chosen: 0 } });
});
