/** Checks what bundles of programs contain. Chromium runs them in browser.slow.test.ts. */
import { dirname } from "node:path";
import { expect, test } from "vitest";
import { bundled, running, smaller } from "./bundled.ts";

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

test("a bundle that runs a model imports the runtime only when it runs", async () => {
  const { external } = await bundled(running);
  expect(external.ever).toContain("#onnxruntime");
  expect(external.atOnce).toEqual([]);
});
