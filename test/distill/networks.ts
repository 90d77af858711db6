/** Small networks of which one learns from another, by any loss, and samples of theirs. */
import { expect } from "vitest";
import { type Matching, matchLayers } from "../../src/core/analysis/match.ts";
import { Miss } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { float32, int64 } from "../../src/core/tensor/dense.ts";
import {
  attention,
  averagePool,
  conv2d,
  embedding,
  flatten,
  gelu,
  layerNorm,
  linear,
  network,
  relu,
  residual,
  select,
  sequential,
} from "../../src/learn/nn/index.ts";
import { createStep } from "../../src/learn/train/index.ts";
import { distillation } from "../../src/techniques/distill/distillation.ts";
import { keepLayers } from "../../src/techniques/prune/index.ts";

export const perceptron = (widths: readonly number[], seed = 1): Model =>
  network(
    Object.fromEntries(
      widths
        .flatMap((width, at) => [
          [`fc${at}`, linear(widths[at - 1] ?? 6, width)],
          [`relu${at}`, relu()],
        ])
        .slice(0, -1),
    ),
    { input: ["batch", 6], seed },
  );

/** @param order Where layers normalize: before attention and MLP (GPT-2, LLaMA), or after their residual sums (BERT). */
export const transformer = (
  layers: number,
  width: number,
  heads: number,
  seed = 1,
  order: "pre-norm" | "post-norm" = "pre-norm",
): Model => {
  const self = () => attention(width, heads, { mask: "attention_mask" });
  const mlp = () => ({ up: linear(width, 2 * width), gelu: gelu(), down: linear(2 * width, width) });
  const layer =
    order === "pre-norm"
      ? () => ({
          attention: residual({ norm: layerNorm(width), self: self() }),
          mlp: residual({ norm: layerNorm(width), ...mlp() }),
        })
      : () => ({
          attention: residual({ self: self() }),
          norm1: layerNorm(width),
          mlp: residual(mlp()),
          norm2: layerNorm(width),
        });
  return network(
    {
      words: embedding(20, width),
      ...Object.fromEntries(Array.from({ length: layers }, (_, index) => [`layer${index}`, sequential(layer())])),
      first: select(1, 0),
      head: linear(width, 3),
    },
    {
      input: {
        input_ids: { type: "int64", dims: ["batch", "tokens"] },
        attention_mask: { type: "int64", dims: ["batch", "tokens"] },
      },
      seed,
    },
  );
};

export const convolutional = (blocks: number, channels: number, seed = 1): Model =>
  network(
    {
      stem: conv2d(3, channels, 3, { padding: 1 }),
      ...Object.fromEntries(
        Array.from({ length: blocks }, (_, at) => [
          `block${at}`,
          sequential({
            body: residual({
              a: conv2d(channels, channels, 3, { padding: 1 }),
              relu: relu(),
              b: conv2d(channels, channels, 3, { padding: 1 }),
            }),
            relu: relu(),
          }),
        ]),
      ),
      pool: averagePool(2),
      flat: flatten(),
      head: linear(channels * 16, 3),
    },
    { input: ["batch", 3, 8, 8], seed },
  );

export const texts = (rows: number, tokens: number) => ({
  input_ids: int64(
    [rows, tokens],
    Array.from({ length: rows * tokens }, (_, at) => (at * 7) % 20),
  ),
  attention_mask: int64(
    [rows, tokens],
    Array.from({ length: rows * tokens }, (_, at) => (at % tokens < tokens - (at < tokens ? 1 : 0) ? 1 : 0)),
  ),
  label: int64(
    [rows],
    Array.from({ length: rows }, (_, at) => at % 3),
  ),
});
export const images = {
  input: float32(
    [4, 3, 8, 8],
    Float32Array.from({ length: 768 }, (_, at) => Math.sin(at * 1.3)),
  ),
  label: int64([4], [0, 1, 2, 1]),
};

export async function norms(loss: string, student: Model, teacher: Model, batch: Parameters<typeof createStep>[1]) {
  const messages: string[] = [];
  const step = await createStep(
    student,
    batch,
    { loss: distillation({ teacher, loss }) },
    { log: ({ text }) => void messages.push(text) },
  );
  const value = await step.run(batch);
  const norm = step.parameters.reduce(
    (sum, { gradient }) => sum + [...gradient].reduce((all, each) => all + each * each, 0),
    0,
  );
  await step.release();
  return { value, norm, told: messages };
}

export async function expectInTransformers(loss: string): Promise<void> {
  const teacher = transformer(4, 12, 3, 5);
  const { value, norm } = await norms(loss, transformer(2, 8, 2), teacher, texts(4, 5));
  expect(value).toSatisfy(Number.isFinite);
  expect(norm).toBeGreaterThan(0);
}

export async function expectInConvolutions(loss: string): Promise<void> {
  const { value, norm } = await norms(loss, convolutional(2, 4), convolutional(4, 6, 5), images);
  expect(value).toSatisfy(Number.isFinite);
  expect(norm).toBeGreaterThan(0);
}

/** Names of matched values. */
export function pairs(student: Model, teacher: Model, by?: Matching): readonly (readonly [string, string])[] {
  const matched = matchLayers(student, teacher, by);
  if (matched instanceof Miss) throw new Error(matched.reason);
  return matched.map((pair) => [pair.student.name, pair.teacher.name] as const);
}

/**
 * Keeps every possible number n of the m layers of a network, and expects the state after layer i of the student to be paired with the state after layer
 * ⌈(i + 1) · m / n⌉ - 1 of the network.
 */
export async function expectEveryNumberOfLayers(teacher: Model): Promise<void> {
  const states = pairs(teacher, teacher).map(([name]) => name);
  for (let count = states.length - 1; count > 0; count--) {
    const student = teacher.clone();
    await keepLayers(student, { keep: count });
    const kept = Array.from({ length: count }, (_, at) => Math.round((at * (states.length - 1)) / (count - 1 || 1)));
    expect(pairs(student, teacher)).toEqual(
      kept.map((layer, at) => [states[layer], states[Math.ceil(((at + 1) * states.length) / count) - 1]]),
    );
  }
}
