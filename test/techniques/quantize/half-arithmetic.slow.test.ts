/** Real models in float16: each loads, keeps its interface, and answers as before. */
import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { compareFunction } from "../../../src/judge/compare/compare-function.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { shared } from "../../shared.ts";

const folder = shared("data/models");
const files =
  folder === undefined
    ? []
    : [
        ...readdirSync(folder).filter((name) => name.endsWith(".onnx")),
        "bert_sst2/onnx/model.onnx",
        "llama_shakespeare/onnx/model.onnx",
      ];

describe.skipIf(folder === undefined)("arithmetic in float16", () => {
  test.each(files)("%s", async (file) => {
    const engine = createEngine();
    const original = await open(`${folder}/${file}`);
    const model = original.clone();
    const { changes } = await quantize(model, { dtype: "fp16" }, { engine });
    expect(changes.length).toBeGreaterThan(0);
    assertValid(model);
    const bytes = await encodeToBytes(model);
    expect(bytes.length).toBeLessThan(0.62 * (await encodeToBytes(original)).length);
    const likeness = await compareFunction(engine, original, await open(bytes));
    if (typeof likeness !== "object") throw new Error(likeness);
    expect(likeness.lost).toBeUndefined();
    expect(likeness.signalToNoise).toBeGreaterThan(20);
  });
});
