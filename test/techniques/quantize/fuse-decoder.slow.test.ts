/** Operators of a language model for other dtypes and targets. */
import { describe, expect, test } from "vitest";
import type { QuantizeOptions } from "../../../src/techniques/quantize/options.ts";
import { countOperators, file } from "./fused-decoder.ts";

describe.skipIf(file === undefined)("quantize of a language model", () => {
  test("writes the operators in a model that has their opset", async () => {
    expect(await countOperators({ dtype: "q8" }, 23)).toMatchObject({ Attention: 4, RotaryEmbedding: 8, Softmax: 0 });
  });

  test.each<[string, QuantizeOptions]>([
    ["a dtype that WebGPU can load", { dtype: "q4" }],
    ["a target of WebGPU", { dtype: "q8", target: ["webgpu"] }],
  ])("keeps the arithmetic of attention for %s", async (_, options) => {
    expect(await countOperators(options)).toMatchObject({ Attention: 0, RotaryEmbedding: 8, Softmax: 4 });
  });

  test("writes 8-bit blocks, and no integer products, as q8 for WebGPU alone", async () => {
    for (const target of [["webgpu"], ["webgpu", "webgpu"]] satisfies QuantizeOptions["target"][]) {
      const counts = await countOperators({ dtype: "q8", target });
      expect(counts).toMatchObject({ MatMulNBits: 29 });
      expect(counts).not.toHaveProperty("DynamicQuantizeLinear");
    }
    expect(await countOperators({ dtype: "q8", target: ["wasm", "webgpu"] })).toHaveProperty("DynamicQuantizeLinear");
  });
});
