/** Runs folders of several models in transformers.js: encoder and merged decoder; embedding table, decoder and image encoder. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { env, LlavaForConditionalGeneration, Tensor } from "@huggingface/transformers";
import { beforeAll, describe, expect, test } from "vitest";
import loaderJob from "../../src/app/cli/jobs/loader.ts";
import type { FolderFile } from "../../src/app/folder/folder-run.ts";
import { type FileDtype, fileOf } from "../../src/app/folder/folder-run.ts";
import type { Loader } from "../../src/app/folder/loader-check.ts";
import { quantizeFolder } from "../../src/app/folder/quantize-folder.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import { openTokenizer } from "../../src/data/text/tokenizer.ts";
import { generate, generatorOf } from "../../src/runtime/run/generate.ts";
import { type DtypeName, defaultDtypes } from "../../src/techniques/quantize/dtypes.ts";
import { temporaryFolder } from "../temporary.ts";
import { imageToken, imageToText, texts, textToText } from "./small-folders.ts";

const root = temporaryFolder();
const library = createRequire(import.meta.url).resolve("@huggingface/transformers");
/** Minimum share of predicted tokens that equal those of float32. Weights are random, so the best two tokens often have similar scores. */
const least = (dtype: FileDtype): number => (dtype === "fp16" ? 1 : dtype.startsWith("q4") ? 0.5 : 0.9);

describe.each([
  ["an encoder and a merged decoder", textToText, ["encoder_model", "decoder_model_merged"]],
  [
    "an embedding table, a decoder and an image encoder",
    imageToText,
    ["embed_tokens", "decoder_model_merged", "vision_encoder"],
  ],
] as const)("%s", (_, write, names) => {
  const out = join(root, write.name);
  const run: Loader["run"] = (dtypes, forcedTokens) =>
    loaderJob({ library, folder: out, dtypes, texts, forcedTokens, isLarge: false });
  let rows: readonly FolderFile[] = [];
  beforeAll(async () => {
    await write(`${out}.original`);
    const loader = { version: env.version, hasUserInputs: true, canCompare: true, run };
    rows = await quantizeFolder(`${out}.original`, { dtypes: "all", out, texts, loader });
  });

  test("runs in every dtype with most tokens of float32", () => {
    expect(rows.map(({ file }) => file).sort()).toEqual(
      defaultDtypes.flatMap((dtype) => names.map((base) => fileOf(base, dtype))).sort(),
    );
    for (const { dtype, file, verdict, loader } of rows) {
      expect({ file, verdict, ...loader }).toMatchObject({ file, verdict: "kept", version: env.version });
      // Texts do not reach the image encoder.
      expect({ file, ...loader }).toMatchObject({ outcome: file.includes("vision") ? "loads" : "runs" });
      if (file.includes("decoder")) {
        expect(loader?.tokens).toBe(64);
        expect({ file, same: (loader?.same ?? 0) / 64 >= least(dtype) }).toEqual({ file, same: true });
      }
    }
  });

  test.each(["fp32", ...defaultDtypes] as const)("generates in %s the tokens that Pith generates", async (dtype) => {
    const theirs = await run(Object.fromEntries(names.map((base) => [base, dtype])), undefined);
    if ("failed" in theirs) throw new Error(theirs.reason);
    const fileName = (base: string) => (dtype === "fp32" ? `onnx/${base}.onnx` : fileOf(base, dtype));
    const models = await Promise.all(names.map(async (base) => [base, await open(join(out, fileName(base)))] as const));
    const [generator, tokenizer] = [generatorOf(new Map(models)), await openTokenizer(out)];
    if (generator === undefined || tokenizer === undefined) throw new Error("no generator");
    const engine = createEngine();
    for (const [at, text] of texts.entries()) {
      const prompts = [tokenizer.encode(text).ids];
      const [ours] = await generate(engine, generator, prompts, { steps: 16, padding: 0, startToken: 0 });
      expect({ text, tokens: theirs.answers[at]?.tokens }).toEqual({ text, tokens: ours });
    }
  });

  test.runIf(write === imageToText)("computes outputs for an image as in float32", async () => {
    Object.assign(env, { allowRemoteModels: false, localModelPath: `${root}/` });
    const tokens = [imageToken, imageToken, imageToken, imageToken, 7, 30, 2];
    const ids = (numbers: readonly number[]) => new Tensor("int64", numbers.map(BigInt), [1, numbers.length]);
    const logits = async (dtype: DtypeName | "fp32", phase = 0): Promise<Float32Array> => {
      const dtypes = Object.fromEntries(names.map((base) => [base, dtype]));
      const model = await LlavaForConditionalGeneration.from_pretrained(write.name, { dtype: dtypes, device: "cpu" });
      const pixels = Float32Array.from({ length: 3 * 16 * 16 }, (_, at) => Math.sin(at + phase));
      const output = await model({
        input_ids: ids(tokens),
        attention_mask: ids(tokens.map(() => 1)),
        pixel_values: new Tensor("float32", pixels, [1, 3, 16, 16]),
      });
      await model.dispose();
      return output.logits.data;
    };
    const expectedLogits = await logits("fp32");
    expect(decibelsOf(expectedLogits, await logits("fp32", 1))).toBeLessThan(20);
    for (const dtype of defaultDtypes) {
      const decibels = decibelsOf(expectedLogits, await logits(dtype));
      expect({ dtype, near: decibels > (dtype === "fp16" ? 45 : least(dtype) === 0.5 ? 8 : 22) }).toEqual({
        dtype,
        near: true,
      });
    }
  });
});

function decibelsOf(expected: Float32Array, actual: Float32Array): number {
  const power = (numbers: Float32Array) => numbers.reduce((sum, number) => sum + number * number, 0);
  return 10 * Math.log10(power(expected) / power(expected.map((number, at) => number - (actual[at] ?? 0))));
}
