/** Tests the comparison of a model of sound without data. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { firstBatch } from "../../src/data/batches/select.ts";
import { textInputs } from "../../src/runtime/run/realistic-inputs.ts";
import { temporaryFolder } from "../temporary.ts";
import { speechToText } from "../transformers-js/small-folders.ts";

test("an encoder of spectra gets the spectra of noise, and other sounds for choices", async () => {
  const folder = temporaryFolder();
  await speechToText(folder);
  const encoder = await open(join(folder, "onnx/encoder_model.onnx"));
  const context = completeContext({ engine: createEngine(), seed: 3 });
  const inputs = await textInputs(encoder, context);
  expect(inputs?.test.name).toBe("noise with the spectrum of speech, which is weak evidence: 4 sounds, seed 3");
  if (inputs === undefined) throw new Error("no inputs");
  const [test, other] = await Promise.all([inputs.test, inputs.calibrate].map((part) => firstBatch(part, 4)));
  expect(test?.input_features?.dims).toEqual([4, 80, 100]);
  expect(test).not.toEqual(other);
  const decoder = await open(join(folder, "onnx/decoder_model_merged.onnx"));
  expect(await textInputs(decoder, context)).toMatchObject({ isGenerated: true });
  writeFileSync(
    join(folder, "preprocessor_config.json"),
    '{ "feature_extractor_type": "ClapFeatureExtractor", "sampling_rate": 48000 }',
  );
  expect(await textInputs(encoder, context)).toBeUndefined();
});
