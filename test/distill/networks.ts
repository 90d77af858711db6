/** Small networks of which one learns from another, by any loss, and samples of theirs. */
import { expect } from "vitest";
import { distillation } from "../../src/distill/distillation.ts";
import type { Model } from "../../src/graph/model.ts";
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
} from "../../src/nn/index.ts";
import { float32, int64 } from "../../src/tensor/dense.ts";
import { createStep } from "../../src/train/index.ts";

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

export const transformer = (layers: number, width: number, heads: number, seed = 1): Model =>
  network(
    {
      words: embedding(20, width),
      ...Object.fromEntries(
        Array.from({ length: layers }, (_, at) => [
          `layer${at}`,
          sequential({
            attention: residual({ norm: layerNorm(width), self: attention(width, heads, { mask: "attention_mask" }) }),
            mlp: residual({
              norm: layerNorm(width),
              up: linear(width, 2 * width),
              gelu: gelu(),
              down: linear(2 * width, width),
            }),
          }),
        ]),
      ),
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
  const told: string[] = [];
  const step = await createStep(
    student,
    batch,
    { loss: distillation({ teacher, loss }) },
    { log: ({ text }) => void told.push(text) },
  );
  const value = await step.run(batch);
  const norm = step.parameters.reduce(
    (sum, { gradient }) => sum + [...gradient].reduce((all, each) => all + each * each, 0),
    0,
  );
  await step.release();
  return { value, norm, told };
}

export const ofHeads = ["attention-mse", "attention-kl", "attention-ce", "minilm"];

export async function expectInTransformers(loss: string): Promise<void> {
  // Another width, and unless heads are compared one by one, another number of them.
  const teacher = transformer(4, 12, ofHeads.includes(loss) ? 2 : 3, 5);
  const { value, norm } = await norms(loss, transformer(2, 8, 2), teacher, texts(4, 5));
  expect(value).toSatisfy(Number.isFinite);
  expect(norm).toBeGreaterThan(0);
}

export async function expectInConvolutions(loss: string): Promise<void> {
  const [own, other] = [convolutional(2, 4), loss === "fsp" ? convolutional(4, 4, 5) : convolutional(4, 6, 5)];
  const { value, norm } = await norms(loss, own, other, images);
  expect(value).toSatisfy(Number.isFinite);
  expect(norm).toBeGreaterThan(0);
}
