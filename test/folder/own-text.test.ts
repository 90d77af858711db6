/** Tests the text that a language model generates as its own samples. */
import { expect, test } from "vitest";
import { createEngine, type Engine } from "../../src/core/engine/index.ts";
import { Miss } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { firstBatch } from "../../src/data/batches/select.ts";
import { decoderOf } from "../../src/runtime/run/decoding.ts";
import { ownText } from "../../src/runtime/run/own-text.ts";
import { cachedDecoder, mergedDecoder, plainModel } from "../language-model.ts";

async function tokensOf(model: Model, seed?: number): Promise<string> {
  const text = await ownText(createEngine(), model, { seed });
  if (text instanceof Miss) throw new Error(text.reason);
  expect(text).toMatchObject({ name: "text that the model generated", count: 16 });
  const { input_ids: ids, label } = await firstBatch(text, 16);
  expect(ids?.dims).toEqual([16, 64]);
  // Each label is the next token.
  expect(label?.data.slice(0, 63)).toEqual(ids?.data.slice(1, 64));
  return String(ids?.data);
}

test("a model generates the same text with the same seed, and another text with another seed", async () => {
  const text = await tokensOf(cachedDecoder());
  expect(await tokensOf(cachedDecoder())).toBe(text);
  expect(await tokensOf(cachedDecoder(), 1)).not.toBe(text);
});

test("a model generates the same text with a cache, without one, and as a merged decoder", async () => {
  const text = await tokensOf(cachedDecoder());
  expect(await tokensOf(mergedDecoder())).toBe(text);
  expect(await tokensOf(plainModel())).toBe(text);
});

test("a model without a cache is loaded once", async () => {
  const engine = createEngine();
  let loads = 0;
  const countingEngine: Engine = {
    load(model, options) {
      loads++;
      return engine.load(model, options);
    },
  };
  await ownText(countingEngine, plainModel());
  expect(loads).toBe(1);
});

test("a model that reads later tokens generates no text", async () => {
  const text = await ownText(createEngine(), plainModel("ReduceSum(h, axes) {keepdims=1}\n  unused = Identity(h)"));
  expect(text).toMatchObject({ reason: "the model does not generate text: its scores depend on later tokens" });
});

test("a model that does not score tokens generates no text", async () => {
  const text = await ownText(
    createEngine(),
    parseModel("graph (x: float32[2]) -> (y: float32[2]) {\n  y = Relu(x)\n}"),
  );
  expect(text).toMatchObject({ reason: "the model does not predict the next token" });
});

test("features of tokens are not scores of tokens", () => {
  const embeddings = parseModel(`opset 18
graph (input_ids: int64[batch, sequence]) -> (y: float32[batch, sequence, 96]) {
  table: float32[200, 96] = random(seed 1)
  y = Gather(table, input_ids)
}`);
  expect(decoderOf(embeddings)).toBeUndefined();
});
