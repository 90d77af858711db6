/** Tests the inputs of speech models against transformers' extractors (`bench/peers/log_mel_golden.py`). */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import golden from "../../../test/golden/speech-features.generated.json" with { type: "json" };
import { createEngine } from "../../core/engine/index.ts";
import { Miss } from "../../core/errors.ts";
import { toFloat64 } from "../../core/tensor/convert.ts";
import { openFeatureExtractor } from "./features.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pith-features-"));
});
afterEach(() => rm(folder, { recursive: true }));

const openWith = async (settings: object) => {
  await writeFile(join(folder, "preprocessor_config.json"), JSON.stringify(settings));
  return openFeatureExtractor(folder);
};

const sound = Float32Array.from(
  { length: 24_000 },
  (_, n) => (Math.sin(0.05 * n) * n) / 24_000 + 0.25 * Math.sin(0.0001 * n * n),
);

test.each(golden.map((values) => [JSON.stringify(values.settings), values] as const))(
  "computes the features of transformers for %s",
  async (_, { settings, dims, values }) => {
    const extractor = await openWith(settings);
    if (extractor === undefined || extractor instanceof Miss) throw new Error("no extractor");
    const [features] = await extractor.extract(createEngine(), [sound]);
    if (features === undefined) throw new Error("no features");
    expect(features.dims).toEqual(dims);
    const computed = toFloat64(features).filter((__, index) => index % 37 === 0);
    const difference = Math.max(...values.map((value, index) => Math.abs(value - (computed[index] ?? Number.NaN))));
    expect(difference).toBeLessThan(1e-4);
  },
);

test("returns a reason for features of another kind, and nothing for a preprocessor of images", async () => {
  const other = await openWith({ feature_extractor_type: "ClapFeatureExtractor", sampling_rate: 48_000 });
  expect(other).toEqual(new Miss('features of kind "ClapFeatureExtractor" are not supported'));
  expect(await openWith({ image_processor_type: "ViTImageProcessor" })).toBeUndefined();
});
