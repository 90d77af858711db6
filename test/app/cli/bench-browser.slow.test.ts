/** Runs Pith's modules in a real browser. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { findChromium } from "../../../src/app/cli/browser/chromium.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { json, pith } from "./run.ts";

const folder = temporaryFolder();
const browser = await findChromium().catch(() => undefined);
const text = `opset 21
graph (x: float32[batch, 2048]) -> (y: float32[batch, 2048]) {
  first: float32[2048, 2048] = random(seed 1)
  second: float32[2048, 2048] = zeros
  a = MatMul(x, first)
  b = MatMul(x, second)
  y = Sub(a, b)
}
`;

describe.skipIf(browser === undefined)("pith bench in a browser", () => {
  beforeAll(async () => {
    await save(parseModel(text), join(folder, "inside.onnx"));
    await save(await open(join(folder, "inside.onnx")), join(folder, "out side.onnx"), { externalData: true });
    await save(
      parseModel("opset 21\ngraph (x: float32[4]) -> (y) {\n  y = Cast(x) {to=16}\n}\n"),
      join(folder, "bad.onnx"),
    );
  });

  test("leaves no files of the browser in the temporary folder", async () => {
    const temporary = temporaryFolder();
    vi.stubEnv("TMPDIR", temporary);
    await json("bench", join(folder, "inside.onnx"), "--target", "wasm", "--rounds", "1");
    vi.unstubAllEnvs();
    expect(readdirSync(temporary).filter((name) => /^pith-(?!test-)/.test(name))).toEqual([]);
  }, 120_000);

  test("times models in WebAssembly, also with external data, and names the browser", async () => {
    const files = [join(folder, "inside.onnx"), join(folder, "out side.onnx")];
    const { models, targets, code } = await json("bench", ...files, "--target", "wasm", "--rounds", "3");
    expect(code).toBe(0);
    expect(targets).toMatchObject([
      { target: "wasm", runtime: "wasm", where: expect.stringMatching(/^WebAssembly in .*Chrome\/\d/) },
    ]);
    expect(models).toMatchObject([{ speedup: { median: 1 } }, { target: "wasm" }]);
  }, 120_000);

  test("reports an error in a model", async () => {
    const { code, err } = await pith("bench", join(folder, "bad.onnx"), "--target", "wasm");
    expect(code).toBe(1);
    expect(err).toContain('E_UNSUPPORTED: In the browser: "y" is bfloat16');
  }, 120_000);
});
