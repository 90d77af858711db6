/** Inputs of a language model's layers that one scale does not resolve. */
import { expect, test } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text-parse.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { completeContext } from "../../../src/core/pass/run-pass.ts";
import { fromNumbers, toFloats } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory, zeros } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/batches/indexed.ts";
import { runStep } from "../../../src/judge/steps/step.ts";
import { parseStep } from "../../../src/judge/steps/step-options.ts";
import type { Task } from "../../../src/runtime/metrics/metric.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { difference, run } from "./networks.ts";

const nodes = (prefix = "") => `
  ${prefix}h = Gather(embed.weight, input_ids)
  ${prefix}a = MatMul(${prefix}h, up.weight)
  ${prefix}r = Relu(${prefix}a)
  ${prefix}d = MatMul(${prefix}r, down.weight)
  ${prefix}logits = MatMul(${prefix}d, head.weight)
`;
const branch = (name: string) => `graph "${name}" () -> (${name}.logits) {${nodes(`${name}.`)}}`;

/**
 * A language model. Token 0 sets feature 0 of its hidden layer to the peak, which the next layer hardly reads.
 * @param isMerged whether its layers are in two branches, with and without a cache.
 */
async function languageModel(peak = 0, classes = 128, isMerged = false): Promise<Model> {
  const model = parseModel(`opset 21
graph (input_ids: int64[batch, sequence]${isMerged ? ", use_cache_branch: bool[1]" : ""}) -> (logits: float32[batch, sequence, ${classes}]) {
  embed.weight: float32[128, 64] = random(seed 1)
  up.weight: float32[64, 256] = random(seed 2)
  down.weight: float32[256, 64] = random(seed 3)
  head.weight: float32[64, ${classes}] = random(seed 4)
${isMerged ? `  logits = If (use_cache_branch) {then_branch=${branch("next")}, else_branch=${branch("first")}}` : nodes()}
}`);
  const change = async (name: string, [rows, width]: readonly [number, number], valueAt: ValueAt) => {
    const value = model.graph.value(name);
    const values = toFloats((await value?.tensor?.read()) ?? float32([0], []));
    const changed = values.map((old, index) => valueAt(Math.floor(index / width), index % width) ?? old);
    if (value !== undefined) value.tensor = inMemory(float32([rows, width], changed));
  };
  await change("embed.weight", [128, 64], (token, feature) => (feature === 0 ? Number(token === 0) : undefined));
  await change("up.weight", [64, 256], (input, output) => (input === 0 ? (output === 0 ? peak : 0) : undefined));
  await change("down.weight", [256, 64], (input) => (input === 0 ? 1e-5 : undefined));
  return model;
}

type ValueAt = (row: number, column: number) => number | undefined;

/** 16 sequences of 8 tokens; the first token of each is 0. */
const input_ids = fromNumbers(
  "int64",
  [16, 8],
  Array.from({ length: 128 }, (_, index) => (index % 8 === 0 ? 0 : index)),
);
const use_cache_branch = zeros("bool", [16, 1]);
const data = memory("text", { input_ids, use_cache_branch });

async function quantized(original: Model, options: Partial<QuantizeOptions> = {}) {
  const model = original.clone();
  const { changes, misses } = await quantize(model, { dtype: "q8", ...options });
  return { model, misses, layers: Object.fromEntries(changes.map(({ at, what }) => [at, what])) };
}

test("a layer of a language model with a massive activation has 8-bit blocks, which keep the outputs", async () => {
  const original = await languageModel(3000);
  const { model, layers, misses } = await quantized(original, { data });
  expect(layers.down).toMatch(/^weight in 8 bits, blocks of 32: one activation is [\d,]+ × the typical one$/);
  expect([layers.up, layers.head]).toEqual(
    Array(2).fill("integer arithmetic, weight as int8, a scale per output channel"),
  );
  expect(misses).toEqual([]);
  const float = await run(original, { input_ids });
  const blind = await run((await quantized(original)).model, { input_ids });
  expect(difference(float, await run(model, { input_ids }))).toBeLessThan(0.25 * difference(float, blind));
});

test("a layer in both branches of a merged decoder has 8-bit blocks", async () => {
  const original = await languageModel(3000, 128, true);
  const { model, layers } = await quantized(original, { data });
  expect(layers.down).toMatch(/^weight in 8 bits, blocks of 32: one activation is [\d,]+ × the typical one$/);
  expect(layers.up).toMatch(/^integer arithmetic/);
  const { model: blind } = await quantized(original);
  for (const isNext of [false, true]) {
    const inputs = { input_ids, use_cache_branch: fromNumbers("bool", [1], [Number(isNext)]) };
    const float = await run(original, inputs);
    const error = difference(float, await run(model, inputs));
    expect(error).toBeLessThan(0.25 * difference(float, await run(blind, inputs)));
  }
});

test("an override decides about a layer with a massive activation", async () => {
  const { layers } = await quantized(await languageModel(3000), { data, overrides: { down: { bits: 8 } } });
  expect(layers.down).toMatch(/^integer arithmetic/);
});

test("a layer with a massive activation has no blocks in a model that labels tokens", async () => {
  const { layers } = await quantized(await languageModel(3000, 10), { data });
  expect(layers.down).toMatch(/^integer arithmetic/);
});

test("generated text changes nothing in a language model without massive activations", async () => {
  const original = await languageModel();
  const [blind, calibrated] = await Promise.all(
    [{}, { data }].map(async (options) => (await quantized(original, options)).model),
  );
  expect(await encodeToBytes(calibrated ?? original)).toEqual(await encodeToBytes(blind ?? original));
});

test("a step of a run measures activations on generated text, not on the calibration samples of a task", async () => {
  const downWith = async (parts: Pick<Task, "text" | "calibrate">) => {
    const { changes } = await runStep(
      await parseStep(quantize, { dtype: "q8" }),
      await languageModel(3000),
      parts,
      completeContext(),
    );
    return changes.find(({ at }) => at === "down")?.what;
  };
  expect(await downWith({ text: data })).toMatch(/^weight in 8 bits, blocks of 32/);
  expect(await downWith({ calibrate: data })).toMatch(/^integer arithmetic/);
});
