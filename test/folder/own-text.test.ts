/** Tests the text that a language model generates as its own samples. */
import { expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { Miss } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { firstBatch } from "../../src/data/batches/select.ts";
import { ownText } from "../../src/runtime/run/own-text.ts";

/** A decoder whose next token depends on the sum of the embeddings before. */
const cached = (): Model =>
  parseModel(`opset 17
graph (input_ids: int64[batch, seq], past_key_values.0.key: float32[batch, past, 8])
    -> (logits: float32[batch, seq, 80], present.0.key: float32[batch, total, 8]) {
  embed: float32[80, 8] = random(seed 1)
  axes: int64[1] = [1]
  head: float32[8, 80] = random(seed 2)
  h = Gather(embed, input_ids)
  present.0.key = Concat(past_key_values.0.key, h) {axis=1}
  before = ReduceSum(past_key_values.0.key, axes) {keepdims=1}
  sums = CumSum(h, axes)
  all = Add(sums, before)
  logits = MatMul(all, head)
}`);
const plain = (sum: string): Model =>
  parseModel(`opset 17
graph (input_ids: int64[batch, seq]) -> (logits: float32[batch, seq, 80]) {
  embed: float32[80, 8] = random(seed 1)
  axes: int64[1] = [1]
  head: float32[8, 80] = random(seed 2)
  h = Gather(embed, input_ids)
  sums = ${sum}
  all = Add(h, sums)
  logits = MatMul(all, head)
}`);

async function tokensOf(model: Model, seed?: number): Promise<string> {
  const text = await ownText(createEngine(), model, { ...(seed === undefined ? {} : { seed }) });
  if (text instanceof Miss) throw new Error(text.reason);
  expect(text.name).toBe(`text that the model generated: 16 sequences of 64 tokens, seed ${seed ?? 0}`);
  const { input_ids: ids, label } = await firstBatch(text, 16);
  expect(ids?.dims).toEqual([16, 64]);
  // Each label is the next token.
  expect(label?.data.slice(0, 63)).toEqual(ids?.data.slice(1, 64));
  return String(ids?.data);
}

test("a model generates the same text with the same seed, and another text with another seed", async () => {
  const text = await tokensOf(cached());
  expect(await tokensOf(cached())).toBe(text);
  expect(await tokensOf(cached(), 1)).not.toBe(text);
});

test("a language model without a cache generates text as well", async () => {
  expect(new Set((await tokensOf(plain("CumSum(h, axes)"))).split(",")).size).toBeGreaterThan(10);
});

test("a model that reads later tokens generates no text", async () => {
  const text = await ownText(createEngine(), plain("ReduceSum(h, axes) {keepdims=1}"));
  expect(text).toMatchObject({ reason: "the model does not generate text: its scores depend on later tokens" });
});

test("a model that does not score tokens generates no text", async () => {
  const text = await ownText(
    createEngine(),
    parseModel("graph (x: float32[2]) -> (y: float32[2]) {\n  y = Relu(x)\n}"),
  );
  expect(text).toMatchObject({ reason: "the model does not predict the next token" });
});
