/** Tests that WebAssembly computes equal outputs. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import { findRuntime } from "../../../src/core/engine/runtime.ts";
import { PithError } from "../../../src/core/errors.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";

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
  test("computes the outputs of the native runtime, on request", async () => {
    expect(await findRuntime()).toMatchObject({ name: "native" });
    expect(await findRuntime("wasm")).toMatchObject({ name: "wasm" });
    for (const runtime of ["native", "wasm"] as const) {
      const session = await createEngine({ runtime }).load(parseModel(net), { threads: 1 });
      expect(await session.run({ x })).toMatchObject(y);
      await session.release();
    }
  });

  test("fills given buffers in place, returns outputs by name, and reports failures", async () => {
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

  test("returns an output that is also added to a convolution, as the native runtime does", async () => {
    const model = parseModel(`opset 17
graph (x: float32[1, 1, 2, 2]) -> (a: float32[1, 1, 2, 2], y: float32[1, 1, 2, 2]) {
  w: float32[1, 1, 1, 1] = [[[[2]]]]
  v: float32[1, 1, 1, 1] = [[[[3]]]]
  c: float32[1] = [1]
  e = Relu(x)
  a = Conv(e, w, c)
  b = Conv(e, v, c)
  s = Add(b, a)
  r = Relu(s)
  y = Neg(r)
}`);
    const feeds = { x: float32([1, 1, 2, 2], [1, -1, 2, 0]) };
    for (const runtime of ["native", "wasm"] as const) {
      const session = await createEngine({ runtime }).load(model, { threads: 1, inPlace: true });
      const outputs = await session.run(feeds, ["a", "y"]);
      expect([...(outputs.a?.data ?? [])]).toEqual([3, 1, 5, 1]);
      expect([...(outputs.y?.data ?? [])]).toEqual([-7, -2, -12, -2]);
      await session.release();
    }
  });

  test("rejects unsupported types, as the native runtime does", async () => {
    const model = parseModel(
      "opset 21\ngraph (x: float32[4]) -> (y) {\n  s: float32[] = 1\n  z: int4[] = 0\n  y = QuantizeLinear(x, s, z)\n}\n",
    );
    await expect(createEngine({ runtime: "wasm" }).load(model)).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringContaining('"y" is int4'),
    });
  });
});

describe("without onnxruntime-node", () => {
  const absent = (): never => {
    throw new Error("Cannot find package");
  };
  const load = async () => (await import("../../../src/core/engine/index.ts")).createEngine;

  test("the graph runs in WebAssembly", async () => {
    vi.doMock("#onnxruntime", absent);
    const session = await (await load())().load(parseModel(net), { threads: 1 });
    expect(await session.run({ x })).toMatchObject(y);
    await session.release();
  });

  test("requesting the native runtime fails with the name of the package", async () => {
    vi.doMock("#onnxruntime", absent);
    const engine = (await load())({ runtime: "native" });
    await expect(engine.load(parseModel(net))).rejects.toMatchObject({
      code: "E_ENGINE_MISSING",
      hint: "npm install onnxruntime-node",
    });
  });

  test("an error names both packages if onnxruntime-web is missing as well", async () => {
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

test("rejects WebGPU in Node", async () => {
  await expect(createEngine({ runtime: "webgpu" }).load(parseModel(net))).rejects.toMatchObject({ code: "E_ENGINE" });
});
