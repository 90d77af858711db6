/** The gradient estimate of each layer's output error, compared with the error if only that layer changes. */
import { beforeAll, describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { layers } from "../../src/core/analysis/layers.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { float32, inMemory } from "../../src/core/tensor/dense.ts";
import { random } from "../../src/core/tensor/random.ts";
import { firstBatch } from "../../src/data/batches/select.ts";
import { memory } from "../../src/data/index.ts";
import { estimateTaylorErrors } from "../../src/judge/fallback/taylor-errors.ts";
import { runStep } from "../../src/judge/steps/step.ts";
import { parseStep } from "../../src/judge/steps/step-options.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { run } from "../techniques/quantize/networks.ts";
import { task, trained } from "./blobs.ts";

const context = completeContext({ seed: 3 });

/** Returns the model with noise of standard deviation `far` on the weights of the named layers. */
async function withNoise(original: Model, far: number, names: readonly string[]): Promise<Model> {
  const model = original.clone();
  for (const { name, weight } of layers(model, infer(model))) {
    const dense = await weight.tensor?.read();
    if (!names.includes(name) || dense?.type !== "float32") continue;
    const { normal } = random(1, name);
    weight.tensor = inMemory(
      float32(
        dense.dims,
        dense.data.map((value) => value + far * normal()),
      ),
    );
  }
  return model;
}

/** Returns the sum of squared output differences over all test samples. */
async function squaredDifference(one: Model, other: Model): Promise<number> {
  const { input } = await firstBatch(task.test, task.test.count);
  if (input === undefined) throw new Error("There is no input.");
  const [before, after] = [await run(one, { input }), await run(other, { input })];
  return before.reduce((sum, value, at) => sum + (value - (after[at] ?? 0)) ** 2, 0);
}

let model: Model;
beforeAll(async () => {
  model = await trained();
});

describe("the estimated error of each layer equals its measured error", () => {
  const names = ["fc1", "fc2", "fc3"];
  test("for small changes of all layers in one estimate", async () => {
    const errors = await estimateTaylorErrors(
      model,
      await withNoise(model, 1e-3, names),
      task.test,
      { samples: 800 },
      context,
    );
    expect([...errors.keys()]).toEqual(names);
    for (const name of names) {
      const alone = await squaredDifference(model, await withNoise(model, 1e-3, [name]));
      // The mean of 400 squares of nearly normal numbers has the relative deviation √(2 / 400).
      expect(Math.abs((errors.get(name) ?? 0) / alone - 1)).toBeLessThan(4 * Math.sqrt(2 / 400));
    }
  });

  test("with a hundredfold error for a tenfold change, and 0 for no change", async () => {
    const options = { samples: 100 };
    const small = await estimateTaylorErrors(model, await withNoise(model, 1e-4, ["fc2"]), task.test, options, context);
    const large = await estimateTaylorErrors(model, await withNoise(model, 1e-3, ["fc2"]), task.test, options, context);
    expect((large.get("fc2") ?? 0) / (small.get("fc2") ?? 0)).toBeCloseTo(100, 0);
    expect(small.get("fc1")).toBe(0);
  });
});

test("estimates quantized weights without labels, equally for the same seed", async () => {
  const rounded = model.clone();
  await runStep(await parseStep(quantize, { scheme: "weights" }), rounded, task, context);
  const unlabelled = memory("inputs", {
    input: { type: "float32", dims: [64, 16], data: Float32Array.from({ length: 1024 }, random(1, "x").normal) },
  });
  const estimate = () => estimateTaylorErrors(model, rounded, unlabelled, { samples: 64 }, context);
  const errors = await estimate();
  expect([...errors.keys()]).toEqual(["fc1", "fc2", "fc3"]);
  expect([...errors.values()].every((value) => value > 0)).toBe(true);
  expect(await estimate()).toEqual(errors);
});

test.each([
  ["blocks of 4 bits", { scheme: "weights", bits: 4 }],
  ["products of integers", { scheme: "dynamic" }],
])("estimates %s, whose outputs are along another axis", async (_, options) => {
  const rounded = model.clone();
  await runStep(await parseStep(quantize, { ...options, equalize: false, rounder: "nearest" }), rounded, {}, context);
  const errors = await estimateTaylorErrors(model, rounded, task.test, { samples: 200 }, context);
  expect([...errors.keys()]).toEqual(["fc1", "fc2", "fc3"]);
  const all = [...errors.values()].reduce((sum, own) => sum + own, 0);
  const total = await squaredDifference(model, rounded);
  // The bounds are loose: 200 of 800 samples, quantization of activations in addition to weights, and dependent layers.
  expect(all / (total / 4)).toBeGreaterThan(0.15);
  expect(all / (total / 4)).toBeLessThan(3);
});

test("estimates nothing for an unchanged model", async () => {
  const none = parseModel(`opset 17
graph (x: float32[batch, 4]) -> (y) {
  y = Relu(x)
}`);
  expect(await estimateTaylorErrors(none, none, task.test, { samples: 4 }, context)).toEqual(new Map());
});

test("skips a weight computed from another, and throws for outputs of unknown shape", async () => {
  const shared = parseModel(`opset 17
graph (x: float32[batch, 4]) -> (y) {
  w: float32[4, 4] = random(seed 1)
  t = Transpose(w) {perm=[1, 0]}
  h = MatMul "first" (x, w)
  y = MatMul "second" (h, t)
}`);
  const x = memory("x", { x: { type: "float32", dims: [4, 4], data: new Float32Array(16).fill(0.5) } });
  const errors = await estimateTaylorErrors(
    shared,
    await withNoise(shared, 0.1, ["first"]),
    x,
    { samples: 4 },
    context,
  );
  expect([...errors.keys()]).toEqual(["first"]);
  const opaque = parseModel(`opset 17
graph (x: float32[batch, 4]) -> (y) {
  w: float32[4, 4] = random(seed 1)
  h = MatMul "first" (x, w)
  y = test.unknown.Operator(h)
}`);
  await expect(estimateTaylorErrors(opaque, opaque, x, { samples: 4 }, context)).rejects.toMatchObject({
    code: "E_SHAPE_MISMATCH",
  });
});
