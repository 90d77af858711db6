/** What a runtime cannot run is not written for it (`docs/targets.md`). */
import { describe, expect, test } from "vitest";
import { memory } from "../../src/data/index.ts";
import { parseModel } from "../../src/graph/text.ts";
import { encodeToBytes } from "../../src/onnx/index.ts";
import { type QuantizeOptions, quantize } from "../../src/quantize/index.ts";
import { mlp, numbersFor, operators } from "./networks.ts";

const data = memory("numbers", { x: numbersFor([8, 12]) });

async function made(options: QuantizeOptions) {
  const model = mlp();
  const { changes } = await quantize(model, options);
  return { whats: changes.map(({ what }) => what), operators: operators(model), bytes: await encodeToBytes(model) };
}

describe("for WebGPU", () => {
  test("8-bit integers take the place of float8, and the reason is said", async () => {
    const { whats } = await made({ scheme: "weights", weights: "float8", target: ["node", "webgpu"] });
    for (const what of whats) expect(what).toMatch(/^weight as int8, .*not float8: WebGPU/);
  });

  test.each([
    { scheme: "weights", perChannel: false },
    { scheme: "weights", bits: 2, zeroPoints: true },
    { scheme: "static", data },
  ] as const)("what onnxruntime-web runs since 1.30 is written as it is asked for: %o", async (options) => {
    expect((await made({ ...options, target: ["webgpu"] })).bytes).toEqual((await made(options)).bytes);
  });

  test("bfloat16 is refused: it does not load there", async () => {
    await expect(made({ scheme: "bfloat16", target: ["webgpu"] })).rejects.toMatchObject({ code: "E_OPTION" });
    await expect(made({ scheme: "bfloat16", target: ["wasm"] })).resolves.toBeDefined();
  });
});

test("for WebAssembly tables of few bits are read by plain operators, which every build has", async () => {
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
  { scheme: "weights", weights: "nf4" },
  { scheme: "weights", bits: 2, zeroPoints: true },
  { scheme: "dynamic", perChannel: false },
  { dtype: "q4f16" },
] as const)("Node and WebAssembly run the rest: %o", async (options) => {
  expect((await made({ ...options, target: ["node", "wasm"] })).bytes).toEqual((await made(options)).bytes);
});
