/** Tests the generation of texts with a cache, and the comparison of variants of a decoder. */
import { expect, test } from "vitest";
import { compareEndToEnd, endToEndLoss } from "../../../src/app/folder/end-to-end.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import type { TextTokenizer } from "../../../src/data/text/tokenizer.ts";
import { generate, generatorOf } from "../../../src/runtime/run/generate.ts";

/** Its outputs depend on all previous tokens through the cache only, and ignore the mask. */
const decoder = (seed = 1): Model =>
  parseModel(`opset 17
graph (input_ids: int64[batch, seq], past_key_values.0.key: float32[batch, past, 8])
    -> (logits: float32[batch, seq, 16], present.0.key: float32[batch, total, 8]) {
  embed: float32[16, 8] = random(seed ${seed})
  axes: int64[1] = [1]
  head: float32[8, 16] = random(seed ${seed + 1})
  h = Gather(embed, input_ids)
  present.0.key = Concat(past_key_values.0.key, h) {axis=1}
  all = ReduceSum(present.0.key, axes) {keepdims=1}
  both = Add(h, all)
  logits = MatMul(both, head)
}`);

const options = { steps: 6, padding: 0, startToken: 0 };
const models = (model: Model) => new Map([["model", model]]);
const generator = (model: Model) => {
  const modelGenerator = generatorOf(models(model));
  if (modelGenerator === undefined) throw new Error("no generator");
  return modelGenerator;
};

test("generates the same tokens with a cache as from the whole text", async () => {
  const engine = createEngine();
  const prompts = [
    [3, 1, 4],
    [15, 9, 2],
  ];
  const tokens = await generate(engine, generator(decoder()), prompts, options);
  for (const [sample, prompt] of prompts.entries())
    for (let step = 0; step < options.steps; step++) {
      const text = [...prompt, ...(tokens[sample] ?? []).slice(0, step)];
      const nextTokens = await generate(engine, generator(decoder()), [text], { ...options, steps: 1 });
      expect(nextTokens).toEqual([[tokens[sample]?.[step]]]);
    }
});

const tokenizer: TextTokenizer = {
  ...{ name: "letters", vocabularySize: 16, longest: undefined, padding: 0, paddingSide: "right" },
  encode: (text) => ({ ids: [...text].map((letter) => Number(letter)), types: [] }),
  plain: (text) => [...text].map((letter) => Number(letter)),
};
const textTask = { tokenizer, texts: ["3", "15926535"], samples: undefined };

test("finds equal tokens for equal models, and a different padded batch without a mask", async () => {
  const comparison = await compareEndToEnd(createEngine(), models(decoder()), models(decoder()), textTask);
  expect(comparison).toMatchObject({ tokens: 48, same: 48 });
  expect(comparison.batch).toBeLessThan(1);
  expect(endToEndLoss(comparison)).toBeUndefined();
  const alike = await compareEndToEnd(createEngine(), models(decoder()), models(decoder()), {
    ...textTask,
    texts: ["314", "592"],
  });
  expect(alike.batch).toBe(1);
});

test("reports the share of equal tokens of another model, and the layer that differs", async () => {
  const comparison = await compareEndToEnd(createEngine(), models(decoder()), models(decoder(30)), textTask);
  expect(endToEndLoss(comparison)).toMatch(/^Only \d+ of 48 generated tokens equal the original's\. .* layer ".+" /);
});

test("returns no generator for a model without a cache", () => {
  const plain = parseModel("graph (x: float32[2]) -> (y: float32[2]) {\n  y = Relu(x)\n}");
  expect(generatorOf(models(plain))).toBeUndefined();
});

const encoder = parseModel(`opset 17
graph (input_ids: int64[batch, seq], attention_mask: int64[batch, seq]) -> (last_hidden_state: float32[batch, seq, 8]) {
  embed: float32[16, 8] = random(seed 11)
  h = Gather(embed, input_ids)
  m = Cast(attention_mask) {to=1}
  axes: int64[1] = [-1]
  mask = Unsqueeze(m, axes)
  last_hidden_state = Mul(h, mask)
}`);

/** The merged decoder caches the encoder's keys and does not return them again; the other recomputes them at each step. */
const behindEncoder = (merged: boolean): Model =>
  parseModel(`opset 17
graph (input_ids: int64[batch, seq], encoder_hidden_states: float32[batch, text, 8], past_key_values.0.decoder.key: float32[batch, past, 8]${
    merged ? ", past_key_values.0.encoder.key: float32[batch, kept, 8], use_cache_branch: bool[1]" : ""
  }) -> (logits: float32[batch, seq, 16], present.0.decoder.key: float32[batch, total, 8]${
    merged ? ", present.0.encoder.key: float32[batch, kept2, 8]" : ""
  }) {
  embed: float32[16, 8] = random(seed 12)
  weight: float32[8, 8] = random(seed 13)
  head: float32[8, 16] = random(seed 14)
  axes: int64[1] = [1]
  zero: float32[1] = [0]
  h = Gather(embed, input_ids)
  present.0.decoder.key = Concat(past_key_values.0.decoder.key, h) {axis=1}
  ${
    merged
      ? `key, present.0.encoder.key = If(use_cache_branch) {then_branch=graph () -> (old, none) {
    old = Identity(past_key_values.0.encoder.key)
    none = Mul(past_key_values.0.encoder.key, zero)
  }, else_branch=graph () -> (first, same) {
    first = MatMul(encoder_hidden_states, weight)
    same = Identity(first)
  }}`
      : "key = MatMul(encoder_hidden_states, weight)"
  }
  text = ReduceSum(key, axes) {keepdims=1}
  said = ReduceSum(present.0.decoder.key, axes) {keepdims=1}
  both = Add(text, said)
  all = Add(h, both)
  logits = MatMul(all, head)
}`);

test("a merged decoder after an encoder reuses its cache of the text", async () => {
  const prompts = [[3, 1, 4, 1, 5], [9]];
  const outputs = await Promise.all(
    [true, false].map((merged) => {
      const parts = generatorOf(
        new Map([
          ["encoder_model", encoder],
          ["decoder_model_merged", behindEncoder(merged)],
        ]),
      );
      if (parts === undefined) throw new Error("no generator");
      return generate(createEngine(), parts, prompts, { ...options, startToken: 2 });
    }),
  );
  expect(outputs[0]).toEqual(outputs[1]);
  expect(outputs[0]?.[0]).not.toEqual(outputs[0]?.[1]);
});

test("an embedding table in a separate file gives the same tokens as inside the decoder", async () => {
  const completeDecoder = decoder();
  const embed = parseModel(`opset 17
graph (input_ids: int64[batch, seq]) -> (inputs_embeds: float32[batch, seq, 8]) {
  embed: float32[16, 8] = random(seed 1)
  inputs_embeds = Gather(embed, input_ids)
}`);
  const rest = parseModel(`opset 17
graph (inputs_embeds: float32[batch, seq, 8], attention_mask: int64[batch, all], past_key_values.0.key: float32[batch, past, 8], past_key_values.0.value: float32[batch, past, 8])
    -> (logits: float32[batch, seq, 16], present.0.key: float32[batch, total, 8], present.0.value: float32[batch, total, 8]) {
  axes: int64[1] = [1]
  head: float32[8, 16] = random(seed 2)
  present.0.key = Concat(past_key_values.0.key, inputs_embeds) {axis=1}
  present.0.value = Concat(past_key_values.0.value, inputs_embeds) {axis=1}
  all = ReduceSum(present.0.key, axes) {keepdims=1}
  both = Add(inputs_embeds, all)
  logits = MatMul(both, head)
}`);
  const parts = new Map([
    ["embed_tokens", embed],
    ["decoder_model_merged", rest],
  ]);
  const splitGenerator = generatorOf(parts);
  if (splitGenerator === undefined) throw new Error("no generator");
  expect(splitGenerator).toEqual({ decoder: rest, encoder: undefined, embed });
  const engine = createEngine();
  const prompts = [
    [3, 1, 4],
    [15, 9, 2],
  ];
  const tokens = await generate(engine, splitGenerator, prompts, options);
  expect(tokens).toEqual(await generate(engine, generator(completeDecoder), prompts, options));
  const together = await compareEndToEnd(engine, parts, new Map(parts), { ...textTask, texts: ["314", "592"] });
  expect(together).toEqual({ tokens: 48, same: 48, batch: 1 });
  // A decoder of embeddings alone has no source of its inputs.
  const alone = generatorOf(new Map([["decoder_model_merged", rest]]));
  if (alone === undefined) throw new Error("no generator");
  await expect(generate(engine, alone, prompts, options)).rejects.toThrow(
    'A text or sound gives no value for the input "inputs_embeds".',
  );
});
