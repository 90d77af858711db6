/** More recipes from the original to the file: training of students, seeds, and which results are kept or rejected. */
import { beforeAll, describe, expect, test } from "vitest";
import { reportPage } from "../../src/app/report/html.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { toFloat64 } from "../../src/core/tensor/convert.ts";
import { memory, take } from "../../src/data/index.ts";
import { accuracy } from "../../src/judge/index.ts";
import type { Measured } from "../../src/judge/record/data.ts";
import { compress, runRecipe } from "../../src/judge/run/run.ts";
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
  });
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

test("does not report progress messages as warnings", async () => {
  const ids: string[] = [];
  const log = ({ id }: { readonly id: string }): void => void ids.push(id);
  const { run } = await runRecipe(net, pruneTuneQuantize, task, quick, { log });
  expect(ids).toContain("epoch");
  expect(run.warnings).toEqual([]);
});
