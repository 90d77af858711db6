/** `quantize` writes only operators that the target runtime supports (`docs/targets.md`). */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { memory } from "../../../src/data/index.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { mlp, numbersFor, operators } from "./networks.ts";

const data = memory("numbers", { x: numbersFor([8, 12]) });

async function bytesOf(options: QuantizeOptions) {
  const model = mlp();
  await quantize(model, options);
  return encodeToBytes(model);
}

describe("for WebGPU", () => {
  test.each([
    { scheme: "weights", perChannel: false },
    { scheme: "weights", bits: 2, zeroPoints: true },
    { scheme: "static", data },
  ] as const)("does not change schemes that onnxruntime-web supports since 1.30: %o", async (options) => {
    expect(await bytesOf({ ...options, target: ["webgpu"] })).toEqual(await bytesOf(options));
  });

  test("rejects bfloat16, which does not load there", async () => {
    await expect(bytesOf({ scheme: "bfloat16", target: ["webgpu"] })).rejects.toMatchObject({ code: "E_OPTION" });
    await expect(bytesOf({ scheme: "bfloat16", target: ["wasm"] })).resolves.toBeDefined();
  });
});

test("for WebAssembly, reads low-bit tables with plain operators", async () => {
  const text = `opset 17
graph (ids: int64[batch, length]) -> (y: float32[batch, length, 64]) {
  table: float32[40, 64] = random(seed 1)
  y = Gather(table, ids)
}`;
  const written = async (target: readonly ("node" | "wasm")[]) => {
    const model = parseModel(text);
    await quantize(model, { scheme: "weights", bits: 4, target: [...target] });
    return operators(model);
  };
  expect(await written(["node"])).toContain("GatherBlockQuantized");
  expect(await written(["node", "wasm"])).not.toContain("GatherBlockQuantized");
});

test.each([
  { scheme: "weights", bits: 2, zeroPoints: true },
  { scheme: "dynamic", perChannel: false },
  { dtype: "q4f16" },
] as const)("does not change other schemes for Node and WebAssembly: %o", async (options) => {
  expect(await bytesOf({ ...options, target: ["node", "wasm"] })).toEqual(await bytesOf(options));
});
