/** Tests the memory of a model as `pith bench` measures it. */
import { join } from "node:path";
import { expect, test } from "vitest";
import type memoryJob from "../../../src/app/cli/jobs/memory.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { runJob } from "../../../src/runtime/job/run.ts";
import { temporaryFolder } from "../../temporary.ts";

const folder = temporaryFolder();

async function memory(name: string, inputs: number, outputs: number): Promise<number> {
  const path = join(folder, name);
  const model = parseModel(`opset 21
graph (x: float32[1, ${inputs}]) -> (y: float32[1, ${outputs}]) {
  weight: float32[${inputs}, ${outputs}] = zeros
  y = MatMul(x, weight)
}
`);
  await save(model, path);
  const job = new URL("../../../src/app/cli/jobs/memory.ts", import.meta.url);
  return runJob<typeof memoryJob>(job, {
    model: path,
    runtime: "native",
    shapes: { x: [1, inputs] },
    set: {},
    threads: 1,
    seed: 1,
  });
}

test("measures at least the memory of the weights, and never less than zero", async () => {
  const [tiny, large] = [await memory("tiny.onnx", 2, 2), await memory("large.onnx", 2048, 4096)];
  expect(tiny).toBeGreaterThanOrEqual(0);
  expect(tiny).toBeLessThan(16 * 2 ** 20);
  // The 32 MiB of weights are stored once, and temporarily as bytes of the file and of the runtime.
  expect(large).toBeGreaterThan(0.95 * 32 * 2 ** 20);
  expect(large).toBeLessThan(6 * 32 * 2 ** 20);
});
