/** Tests that per-sample gradients equal those of single samples, and that their mean is the gradient of the batch. */
import { describe, expect, test } from "vitest";
import { createEngine, type Engine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { batchNorm, conv2d, dropout, flatten, layerNorm, linear, network, relu, sequential } from "../nn/index.ts";
import { crossEntropy } from "./losses/cross-entropy.ts";
import { infoNce, meanSquaredError } from "./losses/numbers.ts";
import { perSampleGradients, type SampleGradient, sampleGradients } from "./per-sample.ts";
import { createStep } from "./step.ts";
import type { StepOptions } from "./step-graph.ts";

const draw = random(5, "samples");
const normal = (dims: readonly number[]) =>
  float32(
    dims,
    Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => draw.normal()),
  );

async function all(
  model: Model,
  batch: Batch,
  options: Omit<StepOptions, "carry">,
  seed = 0,
): Promise<SampleGradient[]> {
  const gradients: SampleGradient[] = [];
  for await (const gradient of perSampleGradients(model, batch, options, { seed })) gradients.push(gradient);
  return gradients;
}

test("computes 2 / outputs · x (y - t)ᵀ for a linear network", async () => {
  const model = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y) {
  w: float32[2, 2] = [[1, 2], [3, 4]]
  y = MatMul "fc" (x, w)
}`);
  const batch = { x: float32([2, 2], [1, -1, 0.5, 2]), label: float32([2, 2], [0, 0, 1, 1]) };
  const samples = await all(model, batch, { loss: meanSquaredError() });
  // x₁ W = (-2, -2) has the error (-2, -2), and x₂ W = (6.5, 9) the error (5.5, 8).
  expect(samples.map(({ sample, loss }) => [sample, loss])).toEqual([
    [0, 4],
    [1, (5.5 ** 2 + 8 ** 2) / 2],
  ]);
  expect(samples.map(({ gradients }) => [...(gradients.get("w") ?? [])])).toEqual([
    [-2, -2, 2, 2],
    [2.75, 4, 11, 16],
  ]);
});

const images = (count: number): Batch => ({
  input: normal([count, 2, 5, 5]),
  label: int64(
    [count],
    Array.from({ length: count }, () => draw.integer(3)),
  ),
});
const body = (norm: ReturnType<typeof layerNorm>) => ({
  conv: conv2d(2, 4, 3),
  relu: relu(),
  flat: flatten(),
  head: sequential({ fc: linear(36, 8), norm, out: linear(8, 3) }),
});
const shape = { input: ["batch", 2, 5, 5], seed: 1 } as const;

test("averages to the batch gradient without changing the model", async () => {
  const model = network(body(layerNorm(8)), shape);
  const before = model.graph.value("conv.weight")?.tensor;
  const batch = images(7);
  const samples = await all(model, batch, { loss: crossEntropy() });
  const step = await createStep(model, batch, { loss: crossEntropy() });
  const loss = await step.run(batch);
  expect(samples.reduce((sum, one) => sum + one.loss, 0) / 7).toBeCloseTo(loss, 5);
  expect(step.parameters).toHaveLength(8);
  for (const { name, gradient } of step.parameters) {
    const mean = gradient.map(
      (_, index) => samples.reduce((sum, { gradients }) => sum + (gradients.get(name)?.[index] ?? 0), 0) / 7,
    );
    const size = Math.max(...gradient.map(Math.abs));
    gradient.forEach((one, index) => {
      expect(Math.abs((mean[index] ?? 0) - one)).toBeLessThan(1e-5 * size + 1e-8);
    });
  }
  await step.release();
  expect(model.graph.value("conv.weight")?.tensor).toBe(before);
});

test("yields gradients of the selected layers only, and nothing for an empty batch", async () => {
  const model = network(body(layerNorm(8)), shape);
  const [sample] = await all(model, images(2), { loss: crossEntropy(), layers: "head.out" });
  expect([...(sample?.gradients.keys() ?? [])]).toEqual(["head.out.weight", "head.out.bias"]);
  const none = { input: float32([0, 2, 5, 5], []), label: int64([0], []) };
  expect(await all(model, none, { loss: crossEntropy() })).toEqual([]);
});

test("draws dropout per sample by the seed", async () => {
  const model = network({ flat: flatten(), drop: dropout(0.5), fc: linear(50, 3) }, shape);
  const image = images(1);
  const twice = {
    input: float32([2, 2, 5, 5], [...(image.input?.data ?? []), ...(image.input?.data ?? [])].map(Number)),
    label: int64([2], [1, 1]),
  };
  const weights = async (seed: number) =>
    (await all(model, twice, { loss: crossEntropy() }, seed)).map(({ gradients }) => gradients.get("fc.weight"));
  const [first, second] = await weights(1);
  expect(first).not.toEqual(second);
  expect(await weights(1)).toEqual([first, second]);
  expect((await weights(2))[0]).not.toEqual(first);
});

test("reuses graphs for several batches with the same bits", async () => {
  const countingEngine = createEngine();
  let loaded = 0;
  const engine: Engine = {
    ...countingEngine,
    load(...given) {
      loaded++;
      return countingEngine.load(...given);
    },
  };
  const model = network(body(layerNorm(8)), shape);
  const batches = [images(3), images(3), images(2)];
  const samples = sampleGradients(model, { loss: crossEntropy() }, { engine, seed: 3 });
  const after: number[] = [];
  for (const batch of batches) {
    const gradients: SampleGradient[] = [];
    for await (const gradient of samples.of(batch)) gradients.push(gradient);
    expect(gradients).toEqual(await all(model, batch, { loss: crossEntropy() }, 3));
    after.push(loaded);
  }
  await samples.release();
  expect(after[0]).toBeGreaterThan(0);
  expect(after).toEqual([after[0], after[0], after[0]]);
});

test("rejects a loss of NaN", async () => {
  const model = network({ fc: linear(4, 3) }, { input: ["batch", 4], seed: 1 });
  const batch = { input: float32([2, 4], [1, 2, 3, 4, NaN, 0, 0, 0]), label: int64([2], [0, 1]) };
  await expect(all(model, batch, { loss: crossEntropy() })).rejects.toMatchObject({
    code: "E_DATA",
    message: "The loss of sample 2 of a batch is NaN.",
  });
});

describe("models that mix samples are rejected with the reason", () => {
  test("rejects batch normalization with batch statistics", async () => {
    const model = network({ conv: conv2d(2, 4, 3), norm: batchNorm(4), flat: flatten(), fc: linear(36, 3) }, shape);
    await expect(all(model, images(4), { loss: crossEntropy() })).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringContaining('"norm.running_mean" is computed from all samples'),
      hint: expect.stringContaining("finalize"),
    });
    // Frozen batch normalization uses its stored statistics, so samples do not mix.
    expect(await all(model, images(4), { loss: crossEntropy(), layers: ["conv", "fc"] })).toHaveLength(4);
    for (const value of model.graph.values()) if (value.role?.kind === "state") value.role = undefined;
    expect(await all(model, images(4), { loss: crossEntropy() })).toHaveLength(4);
  });

  test("rejects a contrastive loss", async () => {
    const model = network({ fc: linear(4, 3) }, { input: ["batch", 4], seed: 1 });
    const batch = { input: normal([4, 4]), label: normal([4, 3]) };
    await expect(all(model, batch, { loss: infoNce() })).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringMatching(/the loss of the first two together is \d.*which is not their mean/),
    });
    // With dropout, the losses of training steps alone would not reveal that samples mix.
    const drawing = network({ drop: dropout(0.5), fc: linear(4, 3) }, { input: ["batch", 4], seed: 1 });
    await expect(all(drawing, batch, { loss: infoNce() })).rejects.toMatchObject({ code: "E_UNSUPPORTED" });
  });

  test("rejects attention between samples", async () => {
    const model = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y) {
  w: float32[2, 2] = [[1, 2], [3, 4]]
  axes: int64[1] = [0]
  mean = ReduceMean(x, axes)
  apart = Sub(x, mean)
  y = MatMul "fc" (apart, w)
}`);
    const batch = { x: normal([3, 2]), label: normal([3, 2]) };
    await expect(all(model, batch, { loss: meanSquaredError() })).rejects.toMatchObject({ code: "E_UNSUPPORTED" });
  });
});
