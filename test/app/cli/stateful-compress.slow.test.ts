/** Compresses a voice activity detector, which carries its state from frame to frame. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { shared } from "../../shared.ts";
import { temporaryFolder } from "../../temporary.ts";
import { pith } from "./run.ts";

const model = shared("data/models/silero_vad_16k_op15.onnx") ?? "";
const sound = shared("data/audio/silero_test.wav") ?? "";
const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const data = ["--data", sound, "--preprocess", "frame=512 context=64"];

describe.skipIf(model === "" || sound === "")("a model with states", () => {
  test("is compressed by a recipe", async () => {
    writeFileSync(at("dynamic.yaml"), "steps:\n  - quantize: {scheme: dynamic}\n");
    const { code, err } = await pith("compress", model, ...data, "--recipe", at("dynamic.yaml"), "-o", at("small"));
    expect(err).not.toContain("E_DATA");
    expect(code).toBe(0);
  });
});
