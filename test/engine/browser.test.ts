/** Bundles a program that prunes and quantizes weights, and runs it in Chromium if there is one. */
import { dirname } from "node:path";
import { describe, expect, test } from "vitest";
import { bundled, ofRuntime, program, smaller, visited } from "./bundled.ts";

const running = `
import { open } from "pith";
import { createEngine } from "pith/engine";
const session = await createEngine().load(await open(new URL("model.onnx", location.href)));
const { y } = await session.run({ x: { type: "float32", dims: [1, 784], data: new Float32Array(784) } });
const answer = Uint8Array.from(y.dims);`;

test("a bundle that quantizes weights contains neither data readers nor the static scheme", async () => {
  const { modules, bytes } = await bundled(smaller, true);
  expect(modules).toContain("src/techniques/quantize/round-model.ts");
  // Messages need these modules for options, text and names of runtimes.
  const names = ["data/option", "data/augment-options", "core/numbers", "runtime/run/run-target"].map(
    (name) => `src/${name}.ts`,
  );
  const folders = new Set(modules.filter((name) => !names.includes(name)).map((name) => dirname(name)));
  for (const folder of ["src/data", "src/runtime/metrics", "src/learn/train", "src/app/report"])
    expect(folders).not.toContain(folder);
  expect(modules).not.toContain("src/techniques/quantize/static.ts");
  expect(bytes).toBeLessThan(700_000);
});

test("a bundle that opens and saves contains no operators", async () => {
  const { modules, bytes } = await bundled(`
import { encodeToBytes, inspect, open } from "pith";
const model = await open(new URL("model.onnx", location.href));
if (location.hash !== "") console.log(await inspect(model));
const answer = await encodeToBytes(model);`);
  expect(modules.filter((name) => /^src\/(core\/(ops|analysis)|rewrite|techniques)\//.test(name))).toEqual([]);
  expect(bytes).toBeLessThan(100_000);
});

describe.skipIf(program === undefined)("a page in a browser", () => {
  test("loads the runtime only to run a model", async () => {
    const { asked, answer } = await visited(running);
    expect(ofRuntime(asked).some((path) => path.endsWith(".wasm"))).toBe(true);
    expect([...answer]).toEqual([1, 10]);
  }, 120_000);
});
