/** Tests the outcomes of variants that transformers.js loads and runs, and the reasons to reject them. */
import { expect, test } from "vitest";
import {
  createLoaderCheck,
  type Loader,
  type LoaderRun,
  loaderNote,
  loaderText,
  type ModuleDtypes,
} from "../../../src/app/folder/loader-check.ts";
import { Miss } from "../../../src/core/errors.ts";

const gives = (scores: readonly number[], tokens: readonly number[] = []): LoaderRun => ({
  answers: [{ outputs: { logits: Float32Array.from(scores) }, tokens }],
  sessions: ["model", "decoder_model_merged", "vision_encoder"],
  ran: ["model", "decoder_model_merged"],
});
const single: ModuleDtypes = { model: "q4" };

/** @param answers returns the outputs of the originals or of a variant. */
function check(
  answers: (dtypes: ModuleDtypes) => LoaderRun,
  dtypes = single,
  { hasUserInputs = true, canCompare = true }: Partial<Pick<Loader, "hasUserInputs" | "canCompare">> = {},
) {
  const run: Loader["run"] = (asked) => Promise.resolve(answers(asked));
  return createLoaderCheck({ version: "4.3.1", hasUserInputs, canCompare, run })(dtypes).then((found) =>
    Object.fromEntries(found),
  );
}
const isOriginal = (dtypes: ModuleDtypes): boolean => Object.values(dtypes).every((dtype) => dtype === "fp32");

test("reports outputs near the original's in decibels, and rejects a variant with other outputs", async () => {
  const near = await check((dtypes) => gives(isOriginal(dtypes) ? [1, -1, 2] : [1.01, -1, 2]));
  expect(near).toEqual({ model: { outcome: "runs", version: "4.3.1", signalToNoise: expect.closeTo(47.8, 1) } });
  const far = (dtypes: ModuleDtypes) => gives(isOriginal(dtypes) ? [1, -1, 2] : [-1, 1, 2]);
  expect(await check(far)).toEqual({
    model: { rejected: expect.stringContaining("In transformers.js 4.3.1: on the texts") },
  });
  // Random inputs show that a variant runs, but not that its outputs are right.
  expect(await check(far, single, { hasUserInputs: false })).toMatchObject({ model: { outcome: "runs" } });
});

test("counts equal generated tokens, and rejects a variant with too few", async () => {
  const originalTokens = Array.from({ length: 16 }, (_, at) => at);
  const checkTokens = (same: number) =>
    check((dtypes) =>
      gives([1], isOriginal(dtypes) ? originalTokens : originalTokens.map((token) => (token < same ? token : 99))),
    );
  const { model } = await checkTokens(15);
  if (model === undefined || "rejected" in model) throw new Error("rejected");
  expect(loaderText(model)).toBe("93.8 % of 16");
  expect(await checkTokens(1)).toEqual({
    model: { rejected: expect.stringContaining("Only 1 of 16 generated tokens") },
  });
});

test("rejects a variant that fails to load or run, or outputs NaN, with the reason", async () => {
  const rejected = async (answers: LoaderRun) =>
    (await check((dtypes) => (isOriginal(dtypes) ? gives([1, 2]) : answers))).model;
  expect(await rejected({ failed: "load", reason: "no kernel" })).toEqual({
    rejected: "transformers.js 4.3.1 does not load it: no kernel",
  });
  expect(await rejected({ failed: "run", reason: "Missing the following inputs: a" })).toEqual({
    rejected: "transformers.js 4.3.1 does not run it: Missing the following inputs: a",
  });
  expect(await rejected(gives([1, Number.NaN]))).toEqual({
    rejected: expect.stringContaining('its output "logits" is NaN where the original\'s is not'),
  });
  expect(await rejected(gives([1]))).toEqual({ rejected: expect.stringContaining("another shape") });
});

test("rejects no variant if the original cannot be run", async () => {
  for (const canCompare of [true, false]) {
    const outcome = await check(() => ({ failed: "run", reason: "Missing the following inputs: a" }), single, {
      canCompare,
    });
    expect(outcome).toEqual({
      model: { outcome: "not tried", version: "4.3.1", reason: expect.stringMatching(/^it does not run the original/) },
    });
  }
  const unknown = await check(() => ({ failed: "class", reason: "it has no class for Strange" }));
  expect(unknown).toMatchObject({ model: { outcome: "not tried", reason: "it has no class for Strange" } });
  const unfed = await check(() => ({ failed: "feed", reason: "nothing here fits its inputs (x)" }));
  expect(unfed).toMatchObject({ model: { outcome: "loads", reason: "nothing here fits its inputs (x)" } });
});

test.each([
  [{ failed: "load", reason: "no such file" }, "transformers.js 4.3.1 does not load the original: no such file"],
  [
    { failed: "prepare", reason: "tokenizer.json is broken" },
    "transformers.js 4.3.1 does not make inputs for it of a text, an image or a sound: tokenizer.json is broken",
  ],
] as const)("fails for a folder whose original fails: %j", async (answer, reason) => {
  for (const canCompare of [true, false]) {
    const { model } = await check(() => answer, single, { canCompare });
    expect(model).toEqual({ outcome: "fails", version: "4.3.1", reason });
    if (model === undefined || "rejected" in model) throw new Error("rejected");
    expect(loaderNote(model)).toBe(`${reason}.`);
  }
});

test("rejects the module that fails alone, else the decoder", async () => {
  const both: ModuleDtypes = { encoder_model: "q4", decoder_model_merged: "q4" };
  const fails = (when: (dtypes: ModuleDtypes) => boolean) =>
    check((dtypes) => (when(dtypes) ? { failed: "load", reason: "no kernel" } : gives([1, 2])), both);
  expect(Object.keys(await fails(({ encoder_model: encoder }) => encoder === "q4"))).toEqual(["encoder_model"]);
  const together = ({ encoder_model: encoder, decoder_model_merged: decoder }: ModuleDtypes) =>
    encoder === "q4" && decoder === "q4";
  expect(Object.keys(await fails(together))).toEqual(["decoder_model_merged"]);
});

test("reports files that the class does not load as unused, and unreachable ones as loaded", async () => {
  const dtypes: ModuleDtypes = { model: "q4", decoder_model: "q4", vision_encoder: "q4", encoder_model: "fp32" };
  const outcomes = await check(() => gives([1, 2]), dtypes);
  expect(outcomes).toEqual({
    model: { outcome: "runs", version: "4.3.1" },
    decoder_model: {
      outcome: "unused",
      version: "4.3.1",
      reason:
        "decoder_model*.onnx: transformers.js does not load these files for this model; it loads model*.onnx, vision_encoder*.onnx",
    },
    vision_encoder: { outcome: "loads", version: "4.3.1", reason: "nothing here is fed to it" },
  });
});

test("reports files as not tried if the library is missing", async () => {
  const outcomes = await createLoaderCheck(new Miss("it is not installed here"))(single);
  expect(outcomes.get("model")).toEqual({ outcome: "not tried", reason: "it is not installed here" });
});
