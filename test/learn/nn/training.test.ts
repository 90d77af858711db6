/** Training of networks from modules: batch statistics, dropout, and the resulting file. */
import { readFileSync } from "node:fs";
import { describe, expect, it, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { float32, inMemory, int64 } from "../../../src/core/tensor/dense.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { memory } from "../../../src/data/index.ts";
import {
  batchNorm,
  conv1d,
  conv2d,
  dropout,
  flatten,
  globalAveragePool,
  linear,
  network,
  relu,
} from "../../../src/learn/nn/index.ts";
import { createStep, crossEntropy, type Loss, meanSquaredError, sgd, train } from "../../../src/learn/train/index.ts";
import { distillation } from "../../../src/techniques/distill/index.ts";
import { everything, imageNet, stripes, textNet, texts } from "./small-nets.ts";

interface Golden {
  readonly training: {
    readonly losses: readonly number[];
    readonly mean: readonly number[];
    readonly variance: readonly number[];
  };
}

const golden = (JSON.parse(readFileSync(new URL("pytorch.json", import.meta.url), "utf8")) as Golden).training;

const wave = (step: number, shift: number, dims: readonly number[]): Float32Array =>
  Float32Array.from({ length: elementCount(dims) }, (_, i) => Math.sin(step * i + shift));

async function numbers(model: Model, name: string): Promise<readonly number[]> {
  const dense = await model.graph.value(name)?.tensor?.read();
  if (dense?.type !== "float32") throw new Error(`no floats "${name}"`);
  return [...dense.data];
}

/** Builds the network of `curve` in pytorch.py, with its weights. */
function curved(): Model {
  const modules = [conv2d(2, 3, 3), batchNorm(3), flatten(), linear(12, 2)];
  const model = network(modules, { input: ["batch", 2, 4, 4], seed: 1 });
  for (const node of model.graph.nodes())
    if (node.attributes.has("momentum")) model.graph.setAttribute(node, "momentum", { kind: "float", value: 0.7 });
  for (const value of model.graph.values()) {
    if (value.tensor?.type !== "float32" || value.role === undefined) continue;
    const filled = wave(0.37, value.name.length, value.tensor.dims).map((entry) => entry / 2);
    const data = value.name.endsWith("running_var") ? filled.map((entry) => Math.abs(entry) + 0.5) : filled;
    value.tensor = inMemory(float32(value.tensor.dims, data));
  }
  return model;
}

const batch: Batch = {
  input: float32([4, 2, 4, 4], wave(0.73, 0, [4, 2, 4, 4])),
  y: float32([4, 2], wave(0.5, 1, [4, 2])),
};
const squares = meanSquaredError({ label: "y" });

async function fiveSteps(model: Model, options: { readonly except?: string; readonly loss?: Loss } = {}) {
  const step = await createStep(model, batch, { loss: squares, ...options });
  const optimizer = sgd();
  const losses: number[] = [];
  for (let count = 0; count < 5; count++) {
    losses.push(await step.run(batch));
    optimizer.update(step.parameters, 0.1);
  }
  step.store(model);
  await step.release();
  return losses;
}

describe("batch normalization in training", () => {
  it("computes the steps and the running statistics of PyTorch", async () => {
    const model = curved();
    const before = await numbers(model, "1.running_var");
    const losses = await fiveSteps(model);
    for (const [at, loss] of golden.losses.entries()) expect(losses[at]).toBeCloseTo(loss, 5);
    const [mean, variance] = [await numbers(model, "1.running_mean"), await numbers(model, "1.running_var")];
    for (const [at, entry] of golden.mean.entries()) expect(mean[at]).toBeCloseTo(entry, 5);
    // ONNX divides the variance by all 16 positions of a channel, PyTorch by 15. The initial variance has the weight 0.7⁵.
    for (const [at, entry] of golden.variance.entries()) {
      const remainder = 0.7 ** 5 * (before[at] ?? 0);
      expect(variance[at]).toBeCloseTo(remainder + ((entry - remainder) * 15) / 16, 5);
    }
  });

  it("updates the statistics in the file, which is still for inference", async () => {
    const model = curved();
    await fiveSteps(model);
    const again = await open(await encodeToBytes(model));
    expect(await numbers(again, "1.running_mean")).toEqual(await numbers(model, "1.running_mean"));
    expect([...again.graph.nodes()].map(({ op }) => op)).toEqual([...curved().graph.nodes()].map(({ op }) => op));
    // In inference, the output of a sample does not depend on the other samples of the batch.
    const session = await createEngine().load(again);
    const [all, alone] = [
      await session.run({ input: float32([4, 2, 4, 4], wave(0.73, 0, [4, 2, 4, 4])) }),
      await session.run({ input: float32([1, 2, 4, 4], wave(0.73, 0, [1, 2, 4, 4])) }),
    ];
    await session.release();
    const [first, second] = [Array.from(all.output?.data ?? [], Number), Array.from(alone.output?.data ?? [], Number)];
    for (const [at, entry] of second.entries()) expect(first[at]).toBeCloseTo(entry, 5);
  });

  it("is frozen in an exported network without roles", async () => {
    const model = curved();
    for (const value of model.graph.values()) if (value.role?.kind === "state") value.role = undefined;
    const before = await numbers(model, "1.running_mean");
    const losses = await fiveSteps(model);
    expect(await numbers(model, "1.running_mean")).toEqual(before);
    expect(Math.abs((losses[0] ?? 0) - (golden.losses[0] ?? 0))).toBeGreaterThan(1e-3);
  });

  it("is frozen if its parameters are frozen", async () => {
    const model = curved();
    const before = await numbers(model, "1.running_mean");
    const step = await createStep(model, batch, { loss: squares, layers: "3" });
    expect(step.states).toEqual([]);
    await step.run(batch);
    step.store(model);
    await step.release();
    expect(await numbers(model, "1.running_mean")).toEqual(before);
  });

  it("updates the statistics of a file with training_mode = 1", async () => {
    const model = parseModel(`opset 21
graph (input: float32[4, 2, 4, 4]) -> (y) {
  s: float32[2] = ones
  b: float32[2] = zeros
  mean: float32[2] = [0.5, -0.5]
  variance: float32[2] = ones
  n, m, v = BatchNormalization (input, s, b, mean, variance) {training_mode=1, momentum=0.5}
  y = GlobalAveragePool (n)
}`);
    const data = { input: batch.input, y: float32([4, 2, 1, 1], new Float32Array(8)) } as Batch;
    const step = await createStep(model, data, { loss: squares });
    await step.run(data);
    step.store(model);
    await step.release();
    const input = wave(0.73, 0, [4, 2, 4, 4]);
    const means = [0, 1].map((channel) => {
      const channelValues = input.filter((_, at) => Math.floor(at / 16) % 2 === channel);
      return channelValues.reduce((sum, entry) => sum + entry, 0) / channelValues.length;
    });
    const runningMean = await numbers(model, "mean");
    expect(runningMean[0]).toBeCloseTo(0.25 + 0.5 * (means[0] ?? 0), 5);
    expect(runningMean[1]).toBeCloseTo(-0.25 + 0.5 * (means[1] ?? 0), 5);
  });

  it("does not change the statistics of a teacher", async () => {
    const [teacher, student] = [curved(), curved()];
    const before = await everything(teacher);
    const loss = distillation({ teacher, alpha: 1 });
    const losses = await fiveSteps(student, { loss });
    expect(losses.every(Number.isFinite)).toBe(true);
    // In inference, a teacher computes another function than the same network in training.
    expect(losses[0]).toBeGreaterThan(0);
    expect(await everything(teacher)).toEqual(before);
    expect(await numbers(student, "1.running_mean")).not.toEqual(await numbers(teacher, "1.running_mean"));
  });
});

describe("dropout", () => {
  /** Builds the mean of 64 × 256 ones after dropout and a weight, whose gradient counts the kept elements. */
  const dropped = (probability: number): Model => {
    const model = network(
      { drop: dropout(probability), fc: linear(256, 1, { bias: false }) },
      { input: ["batch", 256], seed: 1 },
    );
    const weight = model.graph.value("fc.weight");
    if (weight !== undefined) weight.tensor = inMemory(float32([1, 256], new Float32Array(256)));
    return model;
  };
  const ones: Batch = {
    input: float32([64, 256], new Float32Array(64 * 256).fill(1)),
    y: float32([64, 1], new Float32Array(64).fill(-0.5)),
  };
  /** Returns the mean inputs of each weight: with weights of 0 and targets of -1/2, they equal the gradient. */
  async function inputs(probability: number, ...places: readonly number[][]): Promise<readonly (readonly number[])[]> {
    const step = await createStep(dropped(probability), ones, { loss: squares });
    const gradients: number[][] = [];
    for (const place of places) {
      await step.run(ones, place);
      gradients.push([...(step.parameters[0]?.gradient ?? [])]);
    }
    await step.release();
    return gradients;
  }

  it("keeps the mean and drops the given share", async () => {
    const [columns = []] = await inputs(0.25, [1, 0]);
    const kept = columns.reduce((sum, entry) => sum + entry, 0) / 256;
    // For 16,384 draws, five standard deviations of the share are 0.017; the kept values are scaled by 1/0.75.
    expect(Math.abs(kept - 1)).toBeLessThan(0.023);
    // Each column has 64 independent draws: the probability that all are kept is 0.75⁶⁴.
    for (const entry of columns) {
      expect(entry).toBeGreaterThan(0.5);
      expect(entry).toBeLessThan(4 / 3);
      const count = entry * 0.75 * 64;
      expect(count).toBeCloseTo(Math.round(count), 3);
    }
    // The standard deviation of the count of 64 draws is that of the binomial distribution: √(64 · 0.75 · 0.25) = 3.46.
    const counts = columns.map((entry) => entry * 0.75 * 64);
    const deviation = Math.sqrt(counts.reduce((sum, count) => sum + (count - 48) ** 2, 0) / 256);
    expect(deviation).toBeGreaterThan(2.8);
    expect(deviation).toBeLessThan(4.2);
  });

  it("draws depend only on the given position", async () => {
    const [first, other, again] = await inputs(0.5, [1, 0], [1, 1], [1, 0]);
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    const [anew] = await inputs(0.5, [1, 0]);
    expect(anew).toEqual(first);
  });

  it("is absent from the file, and drops nothing if the probability is zero", async () => {
    expect(await inputs(0, [1, 0])).toEqual([new Array(256).fill(1)]);
    const model = dropped(0.5);
    const step = await createStep(model, ones, { loss: squares });
    await step.run(ones);
    step.store(model);
    await step.release();
    const node = [...model.graph.nodes()].find(({ op }) => op === "Dropout");
    expect(node?.inputs.map((input) => input?.tensor?.small?.data[0])).toEqual([undefined, 0.5, 0]);
    expect(await numbers(model, "drop.ratio")).toEqual([0.5]);
  });
});

describe("networks learn, and compute the same after saving and opening", () => {
  test.each([
    ["texts", textNet, texts(256)],
    ["images", imageNet, stripes(256)],
  ] as const)("%s", async (_, make, data) => {
    const model = make();
    const { history } = await train(model, { data, epochs: 8, batch: 32, learningRate: 0.01 });
    expect(history.at(-1)?.loss).toBeLessThan(0.5 * (history[0]?.loss ?? 0));
    const again = await open(await encodeToBytes(model));
    expect(await everything(again)).toEqual(await everything(model));
    for await (const rows of data.batches({ size: 16 })) {
      const outputs = await Promise.all(
        [model, again].map(async (each) => {
          const session = await createEngine().load(each);
          const feeds = Object.fromEntries(Object.entries(rows).filter(([name]) => name !== "label"));
          const { output } = await session.run(feeds);
          await session.release();
          return output?.data;
        }),
      );
      expect(outputs[0]).toEqual(outputs[1]);
      break;
    }
  });

  it("trains networks with one spatial dimension", async () => {
    const draws = random(7, "waves");
    const labels = Array.from({ length: 128 }, () => draws.integer(2));
    const waves = labels.flatMap((label) => {
      const shift = draws.uniform(0, 6);
      return Array.from({ length: 16 }, (_, at) => Math.sin((label === 0 ? 0.5 : 1.5) * at + shift));
    });
    const data = memory("waves", { input: float32([128, 1, 16], waves), label: int64([128], labels) });
    const net = network(
      {
        conv: conv1d(1, 8, 5, { padding: 2 }),
        relu: relu(),
        mean: globalAveragePool(),
        flatten: flatten(),
        fc: linear(8, 2),
      },
      { input: ["batch", 1, 16], seed: 1 },
    );
    const { history } = await train(net, { data, epochs: 10, batch: 16, learningRate: 0.02, loss: crossEntropy() });
    expect(history.at(-1)?.loss).toBeLessThan(0.5 * (history[0]?.loss ?? 0));
  });
});
