/** Targets that a machine lacks. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { pith } from "./run.ts";
import { timedNetwork } from "./timed-network.ts";

const { folder, model } = timedNetwork();

test("without a browser, times WebAssembly in Node and skips WebGPU, with warnings", async () => {
  vi.stubEnv("CHROME_PATH", join(folder, "no-browser"));
  const markdown = join(folder, "summary.md");
  const words = ["--rounds", "2", "--dim", "batch=4", "--threads", "1", "--markdown", markdown, "--json"];
  const { code, out, err } = await pith("bench", model, "--target", "wasm,webgpu", ...words);
  expect(code).toBe(0);
  expect(
    err
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).warning),
  ).toMatchObject([
    { id: "target", text: expect.stringMatching(/^wasm: .*no-browser.* WebAssembly runs in Node instead\.$/) },
    { id: "target-missing", text: expect.stringMatching(/^webgpu: .*no-browser/) },
  ]);
  const { models, targets } = JSON.parse(out);
  expect(targets).toMatchObject([
    { target: "wasm", runtime: "wasm", where: "WebAssembly in Node", rounds: 2, threads: 1 },
  ]);
  const [row] = models;
  expect(row).toMatchObject({ model, target: "wasm", batch: 4 });
  expect(row.runs.p90).toBeGreaterThanOrEqual(row.runs.p50);
  expect(row.throughput.samples).toBeCloseTo(4 * row.throughput.runs, 5);
  expect(row.throughput.runs * row.runs.p50).toBeCloseTo(1000, 5);
  const lines = readFileSync(markdown, "utf8").split("\n");
  expect(lines[2]).toMatch(/^\| model \| bytes \| brotli \| p50 \|/);
  expect(lines[4]).toContain(`| ${model} |`);
});

test("fails for a single target that is missing, and rejects an unknown target", async () => {
  vi.stubEnv("CHROME_PATH", join(folder, "no-browser"));
  expect(await pith("bench", model, "--target", "webgpu")).toMatchObject({
    code: 1,
    out: "",
    err: `E_FILE: CHROME_PATH is "${join(folder, "no-browser")}", which is not an executable.\n`,
  });
  expect(await pith("bench", model, "--target", "gpu")).toMatchObject({ code: 2, out: "" });
  for (const name of ["CHROME_PATH", "PATH"]) vi.stubEnv(name, "");
  vi.stubEnv("PLAYWRIGHT_BROWSERS_PATH", folder);
  expect(await pith("bench", model, "--target", "webgpu")).toMatchObject({
    code: 1,
    err: expect.stringMatching(/^E_ENGINE_MISSING: There is no Chromium, Chrome or Edge .*\nhint: Install one/),
  });
  expect(await pith("bench", model, "--target", "node,webgpu")).toMatchObject({
    code: 0,
    err: expect.stringContaining("webgpu: There is no Chromium, Chrome or Edge"),
  });
});
