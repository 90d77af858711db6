/** Pruning a language model without training: criteria and solvers that use samples lose less than magnitude. */
import { join } from "node:path";
import { open } from "pith";
import { createEngine } from "pith/engine";
import { evaluate } from "pith/evaluate";
import { type PruneOptions, prune } from "pith/prune";
import { openTask } from "pith/task";
import { describe, expect, test } from "vitest";
import { shared } from "../../shared.ts";

const data = shared("data");
const [file, tests] = ["models/llama260k.onnx", "text/llama260k_eval_64x120_u16le.bin"];

describe.skipIf(data === undefined)("llama260k", () => {
  test.each<readonly [string, PruneOptions]>([
    ["50 % of each output", { amount: 0.5, pattern: "rows" }],
    ["2:4", { pattern: "2:4" }],
  ])("at %s Wanda loses less than magnitude, and SparseGPT less than Wanda", async (_name, options) => {
    const at = (path: string): string => join(data ?? "", path);
    const original = await open(at(file));
    const metric = "cross-entropy";
    const task = await openTask(original, { data: at(tests), metric, calibrate: 24 });
    const samples = task.calibrate;
    // Embedding tables have no input statistics, so Wanda skips them. All three methods leave them unpruned.
    const { misses } = await prune(await open(at(file)), { ...options, importance: "wanda", data: samples });
    const losses: number[] = [];
    for (const method of [{}, { importance: "wanda" }, { solver: "sparsegpt" }] as const) {
      const model = await open(at(file));
      await prune(model, { ...options, ...method, except: misses.flatMap((miss) => miss.at ?? []), data: samples });
      losses.push((await evaluate(createEngine(), model, task.test, task.metric)).estimate.value);
    }
    const [magnitude = 0, wanda = 0, sparsegpt = 0] = losses;
    expect(wanda).toBeLessThan(magnitude);
    expect(sparsegpt).toBeLessThan(wanda);
  });
});
