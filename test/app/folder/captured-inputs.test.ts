/** The inputs of the models of a folder, captured while they generate texts, are samples for each model. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { capturedInputs } from "../../../src/app/cli/jobs/captured-inputs.ts";
import { maxTexts } from "../../../src/app/folder/end-to-end.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { completeContext } from "../../../src/core/pass/run-pass.ts";
import { temporaryFolder } from "../../temporary.ts";
import { textToText } from "../../transformers-js/small-folders.ts";

const folder = join(temporaryFolder(), "t5");
const judging = Array.from({ length: maxTexts }, (_, at) => `w${at + 1} `.repeat(12));
const otherTexts = ["w7 w30 w2", "w90", "w11 w12 w13 w14 w50 w51 w77"];
const texts = [...judging, ...otherTexts];
const context = completeContext({ engine: createEngine() });
const module = (base: string) => ({ base, source: join(folder, "onnx", `${base}.onnx`) });

beforeAll(() => textToText(folder));

test("captures a sample of each model for each text that is not a test text", async () => {
  const bases = ["encoder_model", "decoder_model_merged"];
  const inputsByModel = await capturedInputs(folder, bases.map(module), texts, context);
  expect([...(inputsByModel?.keys() ?? [])].toSorted()).toEqual(bases.toSorted());
  const decoder = inputsByModel?.get("decoder_model_merged");
  expect(decoder?.constants).toEqual({ use_cache_branch: { type: "bool", dims: [1], data: Uint8Array.of(1) } });
  // At the last of 24 steps, the cache has 23 tokens, and the encoder the longest text.
  expect(decoder?.samples.input_ids?.dims).toEqual([3, 1]);
  expect(decoder?.samples["past_key_values.0.decoder.key"]?.dims).toEqual([3, 1, 23, 64]);
  expect(decoder?.samples.encoder_hidden_states?.dims).toEqual([3, 7, 64]);
  for (const [base, { samples, constants: fixed }] of inputsByModel ?? []) {
    const session = await context.engine.load(await open(module(base).source));
    const [answer] = Object.values(await session.run({ ...samples, ...fixed }));
    expect(answer?.dims[0]).toBe(3);
    await session.release();
  }
});

test("captures nothing from models that generate no texts", async () => {
  const other = join(folder, "..", "other");
  await mkdir(join(other, "onnx"), { recursive: true });
  const source = join(other, "onnx", "model.onnx");
  await save(parseModel("graph (x: float32[2]) -> (y: float32[2]) {\n  y = Relu(x)\n}"), source);
  expect(await capturedInputs(other, [{ base: "model", source }], texts, context)).toBeUndefined();
});

test("omits a model that is not run while texts are generated", async () => {
  const source = join(folder, "onnx", "encoder_model.onnx");
  const bases = [module("encoder_model"), module("decoder_model_merged"), { base: "vision_encoder", source }];
  const inputsByModel = await capturedInputs(folder, bases, texts, context);
  expect(inputsByModel?.has("vision_encoder")).toBe(false);
});
