/** The same graphs in WebAssembly. */
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { runtimeName } from "../../src/core/engine/runtime.ts";
import { PithError } from "../../src/core/errors.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { open, save } from "../../src/core/onnx/index.ts";
import { float32, inMemory } from "../../src/core/tensor/dense.ts";
import { temporaryFolder } from "../temporary.ts";

const net = `opset 21
graph (x: float32[batch, 3]) -> (y: float32[batch, 2]) {
  weight: float32[2, 3] = [[1, 2, 3], [4, 5, 6]]
  bias: float32[2] = [0.5, -0.5]
  y = Gemm(x, weight, bias) {transB=1}
}
`;
const x = float32([2, 3], [1, 0, 0, 0, 1, 1]);
const y = { y: { type: "float32", dims: [2, 2], data: Float32Array.of(1.5, 3.5, 5.5, 10.5) } };

afterEach(() => {
  vi.doUnmock("#onnxruntime");
  vi.doUnmock("onnxruntime-web");
  vi.resetModules();
});

describe("the runtime in WebAssembly", () => {
  test("computes what the native one does, on request", async () => {
    expect(await runtimeName()).toBe("native");
    expect(await runtimeName("wasm")).toBe("wasm");
    for (const runtime of ["native", "wasm"] as const) {
      const session = await createEngine({ runtime }).load(parseModel(net), { threads: 1 });
      expect(await session.run({ x })).toMatchObject(y);
      await session.release();
    }
  });

  test("fills given buffers in place, as the native one does; outputs by name are there as well, and failures are told", async () => {
    for (const runtime of ["native", "wasm"] as const) {
      const session = await createEngine({ runtime }).load(parseModel(net), { threads: 1, inPlace: true });
      const buffer = float32([2, 2], new Float32Array(4));
      expect((await session.run({ x }, { y: buffer })).y).toBe(buffer);
      expect({ y: buffer }).toMatchObject(y);
      expect(await session.run({ x })).toEqual(await session.run({ x }, ["y"]));
      await expect(session.run({ x: float32([2], [1, 2]) }, { y: buffer })).rejects.toThrow(PithError);
      await session.release();
    }
  });

  test("is given large weights as buffers, changed ones among them", async () => {
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

  test("refuses what it cannot carry, as the native one does", async () => {
    const model = parseModel(
      "opset 21\ngraph (x: float32[4]) -> (y) {\n  s: float32[] = 1\n  z: int4[] = 0\n  y = QuantizeLinear(x, s, z)\n}\n",
    );
    await expect(createEngine({ runtime: "wasm" }).load(model)).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringContaining('"y" is int4'),
    });
  });
});

describe("where onnxruntime-node is missing", () => {
  const absent = (): never => {
    throw new Error("Cannot find package");
  };
  const load = async () => (await import("../../src/core/engine/index.ts")).createEngine;

  test("the graph runs in WebAssembly", async () => {
    vi.doMock("#onnxruntime", absent);
    const session = await (await load())().load(parseModel(net), { threads: 1 });
    expect(await session.run({ x })).toMatchObject(y);
    await session.release();
  });

  test("the native runtime, asked for, is an error that names the package", async () => {
    vi.doMock("#onnxruntime", absent);
    const engine = (await load())({ runtime: "native" });
    await expect(engine.load(parseModel(net))).rejects.toMatchObject({
      code: "E_ENGINE_MISSING",
      hint: "npm install onnxruntime-node",
    });
  });

  test("and onnxruntime-web too, the error names both", async () => {
    vi.doMock("#onnxruntime", absent);
    vi.doMock("onnxruntime-web", absent);
    const engine = (await load())();
    await expect(engine.load(parseModel(net))).rejects.toMatchObject({
      code: "E_ENGINE_MISSING",
      message: expect.stringContaining("onnxruntime-node is not installed"),
      hint: expect.stringMatching(/onnxruntime-node .* onnxruntime-web/),
    });
  });
});

test("WebGPU in Node is refused in a sentence", async () => {
  await expect(createEngine({ runtime: "webgpu" }).load(parseModel(net))).rejects.toMatchObject({ code: "E_ENGINE" });
});
