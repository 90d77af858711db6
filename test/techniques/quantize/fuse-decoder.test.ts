/** `quantize` with a dtype or a target first gives a language model with a cache the operators that its runtimes compute fastest. */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import type { QuantizeOptions } from "../../../src/techniques/quantize/options.ts";
import { countOperators, file } from "./fused-decoder.ts";

describe.skipIf(file === undefined)("quantize of a language model", () => {
  test.each<[string, QuantizeOptions]>([
    ["integers, which run on the CPU everywhere", { dtype: "q8" }],
    ["4 bits for the CPU", { dtype: "q4", target: ["node", "wasm"] }],
  ])("writes one attention operator per layer for %s", async (_, options) => {
    expect(await countOperators(options)).toMatchObject({ Attention: 4, RotaryEmbedding: 8, Softmax: 0 });
  });

  test("changes no operators without a dtype or a target", async () => {
    expect(await countOperators({ scheme: "weights", bits: 8 })).toMatchObject({ Attention: 0, RotaryEmbedding: 0 });
  });
});

describe.skipIf(file === undefined)("the cache of a language model", () => {
  const caches = /^(past_key_values|present)\./;

  test.each<[QuantizeOptions, string, number]>([
    [{ dtype: "fp16" }, "float16", 4],
    [{ dtype: "q4f16" }, "float16", 8],
    [{ dtype: "q4" }, "float32", 0],
    [{ scheme: "float16" }, "float32", 0],
  ])("with %o has the type %s", async (options, type, casts) => {
    const model = await open(file ?? "");
    const original = model.clone();
    await quantize(model, options, { engine: createEngine() });
    for (const value of [...model.graph.inputs, ...model.graph.outputs])
      expect(value.type?.type, value.name).toBe(
        caches.test(value.name) ? type : original.graph.value(value.name)?.type?.type,
      );
    const names = ({ graph }: typeof model) => [...graph.inputs, ...graph.outputs].map(({ name }) => name);
    expect(names(model)).toEqual(names(original));
    if (casts > 0) expect([...model.graph.nodes()].filter(({ op }) => op === "Cast").length).toBeLessThanOrEqual(casts);
    expect(verify(model)).toEqual([]);
  });
});
