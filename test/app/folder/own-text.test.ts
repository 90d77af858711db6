/** Tests the text that a language model generates as its own samples. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { createEngine, type Engine } from "../../../src/core/engine/index.ts";
import { Miss } from "../../../src/core/errors.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { completeContext } from "../../../src/core/pass/run-pass.ts";
import { zeros } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/batches/indexed.ts";
import { firstBatch } from "../../../src/data/batches/select.ts";
import type { RenderTemplate } from "../../../src/data/text/chat-template.ts";
import { openTokenizer } from "../../../src/data/text/tokenizer.ts";
import { decoderOf } from "../../../src/runtime/run/decoding.ts";
import { generateOwnText } from "../../../src/runtime/run/own-text.ts";
import { textInputs } from "../../../src/runtime/run/realistic-inputs.ts";
import { relativeTimer } from "../../../src/runtime/run/relative-time.ts";
import { cachedDecoder, mergedDecoder, plainModel } from "../../language-model.ts";
import { temporaryFolder } from "../../temporary.ts";
import { speechToText, textToText } from "../../transformers-js/small-folders.ts";
import { writeVocabulary } from "./small-vocabulary.ts";

async function tokensOf(model: Model, seed?: number): Promise<string> {
  const text = await generateOwnText(createEngine(), model, { seed });
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
  await generateOwnText(countingEngine, plainModel());
  expect(loads).toBe(1);
});

test("every second sequence begins with a turn of a chat, if there is a template", async () => {
  const folder = temporaryFolder();
  await writeVocabulary(folder);
  await writeFile(join(folder, "chat_template.jinja"), "w2");
  const path = join(folder, "model.onnx");
  await save(parseModel(maskedText), path);
  const model = await open(path);
  const renderTemplate: RenderTemplate = async (template, { messages }) =>
    `${template} ${Array.isArray(messages) ? messages.length : ""} w3`;
  const text = await generateOwnText(createEngine(), model, { renderTemplate });
  if (text instanceof Miss) throw new Error(text.reason);
  expect(text.name).toBe("chats and text that the model generated");
  const chat = (await openTokenizer(folder))?.plain("w2 1 w3") ?? [];
  expect(chat.length).toBeGreaterThan(1);
  const { input_ids: ids } = await firstBatch(text, 16);
  for (let row = 1; row < 16; row += 2)
    expect([...(ids?.data.slice(64 * row, 64 * row + chat.length) ?? [])].map(Number)).toEqual(chat);
  const failing = { renderTemplate: () => Promise.reject(new Error("Unexpected token.")) };
  await expect(generateOwnText(createEngine(), model, failing)).rejects.toMatchObject({
    code: "E_DATA",
    message: expect.stringContaining("chat_template.jinja: the chat template cannot be rendered: Unexpected token."),
  });
  const log = vi.fn();
  const missing = { log, renderTemplate: () => Promise.resolve(new Miss("the package is not installed")) };
  expect(await generateOwnText(createEngine(), model, missing)).toMatchObject({
    name: "text that the model generated",
  });
  const logText = "the generated text has no chats: the package is not installed";
  expect(log).toHaveBeenCalledExactlyOnceWith({ id: "chats", text: logText, level: "warning" });
});

test.each([
  ["sentences", textToText],
  ["sounds", speechToText],
])("a decoder behind an encoder of %s generates text, on which it runs and is timed", async (_, writeFolder) => {
  const folder = temporaryFolder();
  await writeFolder(folder);
  const decoder = await open(join(folder, "onnx", "decoder_model_merged.onnx"));
  const context = completeContext();
  const inputs = await textInputs(decoder, context);
  expect(inputs).toMatchObject({ isGenerated: true });
  const { label, ...feeds } = await firstBatch(inputs?.calibrate ?? memory("none", {}), 2);
  expect(feeds.input_ids?.dims).toEqual([2, 64]);
  const encoded = feeds.encoder_hidden_states;
  expect(encoded?.dims).toEqual([2, expect.any(Number), 64]);
  expect(label?.data.slice(0, 63)).toEqual(feeds.input_ids?.data.slice(1, 64));
  const session = await context.engine.load(decoder);
  const { logits } = await session.run({ ...feeds, use_cache_branch: zeros("bool", [1]) });
  await session.release();
  expect(logits?.dims.slice(0, 2)).toEqual([2, 64]);
  const timer = await relativeTimer(decoder, context, inputs?.test);
  expect(await timer.run().finally(() => timer.release())).toBeGreaterThan(0);
});

/** Takes a mask, but does not use it. */
const maskedText = `opset 17
graph (input_ids: int64[batch, seq], attention_mask: int64[batch, seq]) -> (logits: float32[batch, seq, 80]) {
  embed: float32[80, 8] = random(seed 1)
  head: float32[8, 80] = random(seed 2)
  axis: int64[] = [1]
  h = Gather(embed, input_ids)
  sums = CumSum(h, axis)
  logits = MatMul(sums, head)
}`;

test("a model that reads later tokens generates no text", async () => {
  const text = await generateOwnText(
    createEngine(),
    plainModel("ReduceSum(h, axes) {keepdims=1}\n  unused = Identity(h)"),
  );
  expect(text).toMatchObject({ reason: "the model does not generate text: its scores depend on later tokens" });
});

test("a model that does not score tokens generates no text", async () => {
  const text = await generateOwnText(
    createEngine(),
    parseModel("graph (x: float32[2]) -> (y: float32[2]) {\n  y = Relu(x)\n}"),
  );
  expect(text).toMatchObject({ reason: "the model does not predict the next token" });
});

test("a sequence whose features have equal axes is not a cache", () => {
  const encoder = parseModel(`opset 18
graph (image: float32[1, 4], frames: float32[1, time, 4]) -> (sum: float32[1, time, 4], scores: float32[1, time, 3]) {
  w: float32[4, 4] = random(seed 1)
  v: float32[4, 3] = random(seed 2)
  mixed = MatMul(frames, w)
  sum = Add(mixed, image)
  scores = MatMul(frames, v)
}`);
  expect(decoderOf(encoder)).toBeUndefined();
});

test("features of tokens are not scores of tokens", () => {
  const embeddings = parseModel(`opset 18
graph (input_ids: int64[batch, sequence]) -> (y: float32[batch, sequence, 96]) {
  table: float32[200, 96] = random(seed 1)
  y = Gather(table, input_ids)
}`);
  expect(decoderOf(embeddings)).toBeUndefined();
});
