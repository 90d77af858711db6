/** The memory of a run does not grow with the number of candidates, because their files are on disk. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { temporaryFolder } from "../temporary.ts";

const folder = temporaryFolder();
const root = new URL("../../", import.meta.url);
const mebibyte = 2 ** 20;

/** An embedding table of 300 MB, of which few rows are read. */
const table = `opset 21
graph (ids: int64[n]) -> (logits: float32[n, 2]) {
  table: float32[1171875, 64] = random(seed 1)
  out: float32[64, 2] = random(seed 2)
  bias: float32[2] = [0, 0]
  rows = Gather(table, ids)
  product = MatMul(rows, out)
  logits = Add(product, bias)
}`;

const source = (name: string): string => new URL(`src/${name}`, root).href;

const run = (path: string, candidates: number): string => `
import * as v from "${pathToFileURL(createRequire(import.meta.url).resolve("valibot")).href}";
import { memory } from "${source("data/index.ts")}";
import { accuracy } from "${source("judge/index.ts")}";
import { open } from "${source("core/onnx/index.ts")}";
import { definePass } from "${source("core/pass/pass.ts")}";
import { compress, recipeFrom } from "${source("compress.ts")}";
import { float32, inMemory } from "${source("core/tensor/dense.ts")}";
const shift = definePass({
  id: "shift",
  summary: "other biases",
  options: v.object({ by: v.number() }),
  async run(model, { by }) {
    model.graph.value("bias").tensor = inMemory(float32([2], [by, by]));
    return { changes: [{ at: "bias", what: "shifted", decidedBy: "global" }], misses: [] };
  },
});
const count = 40;
const data = memory("rows", {
  ids: { type: "int64", dims: [count], data: BigInt64Array.from({ length: count }, (_, at) => BigInt(at * 1000)) },
  label: { type: "int64", dims: [count], data: BigInt64Array.from({ length: count }, (_, at) => BigInt(at % 2)) },
});
const candidates = Array.from({ length: ${candidates} }, (_, at) => ({
  name: String(at),
  recipe: recipeFrom({ steps: [{ shift: { by: at / 10 } }] }, "recipe", [shift]),
}));
const original = await open(${JSON.stringify(path)});
const options = { passes: [shift], force: true, rounds: 3 };
const { run } = await compress(original, candidates, { test: data, metric: accuracy() }, options);
console.log(JSON.stringify({ variants: run.variants.length, timed: run.latency.models.filter(Boolean).length, most: process.resourceUsage().maxRSS * 1024 }));
`;

test.each([30])("%i candidates of a model of 300 MB use less than 1 GB", async (candidates) => {
  const path = join(folder, "large.onnx");
  await save(parseModel(table), path);
  const script = join(folder, "run.mjs");
  writeFileSync(script, run(path, candidates));
  const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
  const words = ["--conditions=pith-source", "--import", loader, script];
  const out = execFileSync(process.execPath, words, { cwd: fileURLToPath(root), encoding: "utf8" });
  const report = JSON.parse(out.trim().split("\n").at(-1) ?? "");
  expect(report).toMatchObject({ variants: candidates, timed: candidates + 1 });
  expect(report.most / mebibyte).toBeLessThan(1024);
});
