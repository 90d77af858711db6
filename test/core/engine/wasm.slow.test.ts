/** Large weights in WebAssembly. */
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { temporaryFolder } from "../../temporary.ts";

afterEach(() => {
  vi.doUnmock("#onnxruntime");
  vi.doUnmock("onnxruntime-web");
  vi.resetModules();
});

describe("the runtime in WebAssembly", () => {
  test("receives large weights as buffers, including changed ones", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "large.onnx");
    await save(
      parseModel(`opset 21
graph (x: float32[1, 2048]) -> (y: float32[1, 2048]) {
  first: float32[2048, 2048] = zeros
  second: float32[2048, 2048] = zeros
  a = MatMul(x, first)
  b = MatMul(x, second)
  y = Sub(a, b)
}
`),
      path,
    );
    const model = await open(path);
    const second = model.graph.value("second");
    if (second !== undefined) second.tensor = inMemory(float32([2048, 2048], new Float32Array(2048 * 2048).fill(0.5)));
    const session = await createEngine({ runtime: "wasm" }).load(model, { threads: 1 });
    const result = await session.run({ x: float32([1, 2048], new Float32Array(2048).fill(1)) });
    await session.release();
    expect(result.y?.data[2047]).toBe(-1024);
  });
});
