/** Comparison of a language model with its original, on text that the original generates. */
import { expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import type { Value } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { typeCodes } from "../../src/core/tensor/types.ts";
import { memory } from "../../src/data/index.ts";
import { compareFunction, compareOnSamples, type Likeness } from "../../src/judge/compare/compare-function.ts";
import { decoderOf } from "../../src/runtime/run/decoding.ts";
import { storeCacheInHalf } from "../../src/techniques/quantize/store-cache-in-half.ts";
import { cachedDecoder, mergedDecoder, plainModel } from "../language-model.ts";

async function compare(original: Model, result: Model): Promise<Likeness> {
  const likeness = await compareFunction(createEngine(), original, result);
  if (typeof likeness === "string") throw new Error(likeness);
  return likeness;
}

const decoders = { "a decoder": cachedDecoder, "a merged decoder": mergedDecoder };

for (const [kind, decoder] of Object.entries(decoders)) {
  test(`${kind} is compared over the tokens of its own text`, async () => {
    const likeness = await compare(decoder(), decoder());
    expect(likeness).toMatchObject({
      inputs: expect.stringContaining("text that the model generated: 8 sequences"),
      relativeError: 0,
      lost: undefined,
    });
    expect(likeness.language).toMatchObject({
      agreement: { value: 1, count: 512 },
      divergence: 0,
      perplexityRatio: { value: 1 },
    });
  });

  test(`${kind} with a scrambled cache is rejected, though it is equal without a cache`, async () => {
    const { lost, output } = await compare(decoder(), decoder({ stored: -3 }));
    expect(output).toBe("logits (with its cache)");
    expect(lost).toMatch(
      /^output "logits \(with its cache\)": on text that the model generated the signal to noise is −/,
    );
  });

  test(`${kind} can store its cache in another form: each model gets its own cache, whose error is not judged`, async () => {
    const likeness = await compare(decoder(), decoder({ stored: 4, read: 0.25 }));
    expect(likeness).toMatchObject({ lost: undefined, language: { agreement: { value: 1 } } });
    expect(likeness.cache).toBeLessThan(0);
  });

  test(`${kind} can store its cache in float16`, async () => {
    const half = decoder();
    storeCacheInHalf(half, decoderOf(half)?.caches ?? []);
    expect(half.graph.value("past_key_values.0.key")?.type?.type).toBe("float16");
    expect(await compare(decoder(), half)).toMatchObject({ lost: undefined, language: { agreement: { value: 1 } } });
    const logits = decoder();
    const [output] = logits.graph.outputs;
    const cast = emitInto(logits).Cast([output], { to: typeCodes.float16 });
    logits.graph.rename(output as Value, "logits_float32");
    logits.graph.rename(cast, "logits");
    logits.graph.setOutputs([cast, ...logits.graph.outputs.slice(1)]);
    expect((await compare(decoder(), logits)).lost).toMatch(/output "logits.*" is float16/);
  });

  test(`${kind} with other scores is rejected`, async () => {
    const { lost } = await compare(decoder(), decoder({ seed: 3 }));
    expect(lost).toMatch(
      /on text that the model generated the signal to noise is .*, at least 3 dB are required; .* on \d+ of \d+ positions \(/,
    );
  });
}

test("a language model whose tokens are others is rejected, though its scores are near", async () => {
  const biased = (bias: number): Model =>
    parseModel(`opset 18
graph (input_ids: int64[batch, sequence]) -> (logits: float32[batch, sequence, 70]) {
  table: float32[70, 70] = random(seed 1)
  bias: float32[70] = [${[...Array(69).fill(0), bias].join(", ")}]
  scores = Gather(table, input_ids)
  large: float32[] = 1000
  spread = Mul(scores, large)
  logits = Add(spread, bias)
}`);
  const likeness = await compare(biased(0), biased(400));
  expect(likeness.signalToNoise).toBeGreaterThan(3);
  expect(likeness.lost).toMatch(/^the most likely next token is the original's at only \d+ of \d+ positions$/);
});

test("a language model without a cache is compared over the tokens of its own text", async () => {
  const likeness = await compare(plainModel(), plainModel());
  expect(likeness.language).toMatchObject({ agreement: { value: 1, count: 512 } });
});

test("a language model on samples of one token has no figures of following tokens", async () => {
  const tokens = memory("tokens", {
    input_ids: { type: "int64", dims: [4, 1], data: BigInt64Array.of(3n, 1n, 4n, 15n) },
  });
  const model = plainModel();
  const likeness = await compareOnSamples({ engine: createEngine(), original: model, result: plainModel() }, tokens, {
    samples: 4,
  });
  expect(likeness).toMatchObject({ relativeError: 0 });
  expect(likeness).not.toHaveProperty("language");
});
