/** Tests results on the runtimes of a real browser. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findChromium } from "../../../src/app/cli/browser/chromium.ts";
import { type BrowserEngine, openBrowserEngine } from "../../../src/app/cli/browser/engine.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { float32, int64 } from "../../../src/core/tensor/dense.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { temporaryFolder } from "../../temporary.ts";
import { json, pith } from "./run.ts";

const folder = temporaryFolder();
const program = await findChromium().catch(() => undefined);
const { signal } = new AbortController();

describe.skipIf(program === undefined)("an engine in a browser", () => {
  let engine: BrowserEngine;
  beforeAll(async () => {
    engine = await openBrowserEngine("wasm", { temporary: folder, signal });
  }, 60_000);
  afterAll(() => engine?.close());

  test("reports browser, version and threads", () => {
    expect(engine.page.browser).toMatch(/Chrome\/\d/);
    expect(engine.page.version).toMatch(/^\d+\.\d+\.\d+/);
    expect(engine.page.threads).toBeGreaterThan(0);
    expect(engine.page.adapter).toBeUndefined();
  });

  test("transfers tensors of all types, also empty ones and texts", async () => {
    const feeds: Batch = {
      a: float32([2, 0], []),
      b: int64([], [-(2n ** 62n)]),
      c: { type: "bool", dims: [3], data: Uint8Array.of(1, 0, 1) },
      d: { type: "string", dims: [2], data: ["", "é"] },
      e: { type: "uint8", dims: [1], data: Uint8Array.of(255) },
      f: { type: "float16", dims: [1], data: Uint16Array.of(0x3c00) },
      g: float32([1], [Number.NaN]),
    };
    const types = Object.entries(feeds).map(([name, { type, dims }]) => `${name}: ${type}[${dims}]`);
    const names = Object.keys(feeds);
    const lines = names.map((name) => `  ${name}_ = Identity(${name})\n`).join("");
    const model = parseModel(`opset 21\ngraph (${types}) -> (${names.map((name) => `${name}_`)}) {\n${lines}}\n`);
    const session = await engine.load(model);
    const outputs = await session.run(feeds);
    expect(outputs).toEqual(Object.fromEntries(names.map((name) => [`${name}_`, feeds[name]])));
    expect(Object.keys(await session.run(feeds, ["b_"]))).toEqual(["b_"]);
    const buffer = float32([1], [0]);
    expect(await session.run(feeds, { g_: buffer })).toEqual({ g_: buffer });
    expect(buffer.data[0]).toBeNaN();
    await session.release();
    await expect(session.run(feeds)).rejects.toThrow();
  });

  test("reports the error of the runtime with the unknown operator", async () => {
    const model = parseModel('opset 21, "own" 1\ngraph (x: float32[1]) -> (y: float32[1]) {\n  y = own.Act(x)\n}\n');
    await expect(engine.load(model)).rejects.toMatchObject({
      code: "E_ENGINE",
      message: expect.stringMatching(/^In the browser: ONNX Runtime rejected the model: .*Act/),
    });
  });
});

describe.skipIf(program === undefined)("--target", () => {
  const model = join(folder, "net.onnx");
  beforeAll(() =>
    save(
      parseModel(`opset 21
graph (x: float32[batch, 64]) -> (y: float32[batch, 8]) {
  first.weight: float32[64, 256] = random(seed 1)
  second.weight: float32[256, 8] = random(seed 2)
  a = MatMul(x, first.weight)
  b = Tanh(a)
  y = MatMul(b, second.weight)
}
`),
      model,
    ),
  );

  test("of quantize compares the result on each target before it is written", async () => {
    const out = join(folder, "net.int8.onnx");
    const words = ["quantize", model, "--scheme", "dynamic", "--target", "node,wasm,webgpu", "-o", out];
    const { code, targets, written } = await json(...words);
    expect({ code, written }).toEqual({ code: 0, written: out });
    expect(targets).toMatchObject([
      { target: "node", where: "Node", right: true },
      { target: "wasm", where: expect.stringMatching(/^WebAssembly in .*Chrome/), right: true },
      {
        target: "webgpu",
        where: expect.stringMatching(/^WebGPU in .*Chrome.* \(.+\), onnxruntime-web \d+\.\d+\.\d+/),
        right: true,
      },
    ]);
  }, 120_000);

  test("of eval prints the targets with correct outputs, and exits with 1 for wrong ones", async () => {
    const other = join(folder, "other.onnx");
    await save(
      parseModel(`opset 21
graph (x: float32[batch, 64]) -> (y: float32[batch, 8]) {
  first.weight: float32[64, 256] = random(seed 1)
  second.weight: float32[256, 8] = random(seed 3)
  a = MatMul(x, first.weight)
  b = Tanh(a)
  y = MatMul(b, second.weight)
}
`),
      other,
    );
    const same = await pith("eval", model, "--original", model, "--target", "wasm");
    expect(same.code).toBe(0);
    expect(same.out).toMatch(/^right on: wasm ✓\n {2}wasm: WebAssembly in .*: signal to noise .* on 8 random inputs$/m);
    const wrong = await pith("eval", other, "--original", model, "--target", "node");
    expect(wrong.code).toBe(1);
    expect(wrong.out).toMatch(/^right on: node ✗\n {2}node: .*; the first layer with a large error is second$/m);
  }, 120_000);
});
