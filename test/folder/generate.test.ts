/** Texts continued with a cache, and what a variant of a decoder is found to do of it. */
import { expect, test } from "vitest";
import type { TextTokenizer } from "../../src/data/tokenizer.ts";
import { createEngine } from "../../src/engine/index.ts";
import { compareEndToEnd, lostEndToEnd } from "../../src/folder/end-to-end.ts";
import { generate, generatorOf } from "../../src/folder/generate.ts";
import type { Model } from "../../src/graph/model.ts";
import { parseModel } from "../../src/graph/text.ts";

/** Its answer depends on all tokens so far, which it knows of the cache alone; it ignores the mask. */
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

const options = { steps: 6, padding: 0, begin: 0 };
const models = (model: Model) => new Map([["model", model]]);
const generator = (model: Model) => {
  const found = generatorOf(models(model));
  if (found === undefined) throw new Error("no generator");
  return found;
};

test("a token found with the cache is the one that the whole text asks for", async () => {
  const engine = createEngine();
  const prompts = [
    [3, 1, 4],
    [15, 9, 2],
  ];
  const found = await generate(engine, generator(decoder()), prompts, options);
  for (const [sample, prompt] of prompts.entries())
    for (let step = 0; step < options.steps; step++) {
      const text = [...prompt, ...(found[sample] ?? []).slice(0, step)];
      const whole = await generate(engine, generator(decoder()), [text], { ...options, steps: 1 });
      expect(whole).toEqual([[found[sample]?.[step]]]);
    }
});

const tokenizer: TextTokenizer = {
  ...{ name: "letters", vocabularySize: 16, longest: undefined, padding: 0, paddingSide: "right" },
  encode: (text) => ({ ids: [...text].map((letter) => Number(letter)), types: [] }),
  plain: (text) => [...text].map((letter) => Number(letter)),
};
const held = { tokenizer, texts: ["3", "15926535"], samples: undefined };

test("a model has all tokens of itself, and one that ignores the mask is another one in a padded batch", async () => {
  const found = await compareEndToEnd(createEngine(), models(decoder()), models(decoder()), held);
  expect(found).toMatchObject({ tokens: 48, same: 48 });
  expect(found.batch).toBeLessThan(1);
  expect(lostEndToEnd(found)).toBeUndefined();
  const alike = await compareEndToEnd(createEngine(), models(decoder()), models(decoder()), {
    ...held,
    texts: ["314", "592"],
  });
  expect(alike.batch).toBe(1);
});

test("another model is told by its tokens", async () => {
  const found = await compareEndToEnd(createEngine(), models(decoder()), models(decoder(30)), held);
  expect(lostEndToEnd(found)).toMatch(
    /^Of 48 tokens of texts that were continued only \d+ are those of the original\.$/,
  );
});

test("a model without a cache continues nothing", () => {
  const plain = parseModel("graph (x: float32[2]) -> (y: float32[2]) {\n  y = Relu(x)\n}");
  expect(generatorOf(models(plain))).toBeUndefined();
});
