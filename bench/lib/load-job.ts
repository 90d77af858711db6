/** Job of the engine bench: loads a model, runs it, and returns times and peak memory. */

import { startMemoryMeter } from "../../src/app/cli/jobs/memory.ts";
import { startRuntime } from "../../src/app/cli/jobs/parts/start-runtime.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import { float32, inMemory } from "../../src/core/tensor/dense.ts";

export interface LoadInput {
  readonly path: string;
  readonly runtime?: "wasm";
  /** Name of the weight to replace before the model is loaded. */
  readonly edit?: string;
  /** Whether to read every weight into memory first, as a tool does that reads the whole file. */
  readonly whole?: boolean;
  readonly width: number;
}

export interface LoadOutput {
  readonly open: number;
  readonly load: number;
  readonly run: number;
  /** Peak memory in bytes, minus the memory of the process with a runtime but no model. */
  readonly peak: number;
  readonly first: number;
}

export default async function loadJob({ path, runtime, edit, whole, width }: LoadInput): Promise<LoadOutput> {
  const engine = createEngine(runtime === undefined ? {} : { runtime });
  await startRuntime(engine, undefined);
  const peak = startMemoryMeter();
  const begin = performance.now();
  const model = await open(path);
  const opened = performance.now();
  for (const value of model.graph.values()) {
    if (value.tensor === undefined) continue;
    if (value.name === edit) {
      const [rows = 0, columns = 0] = value.tensor.dims;
      value.tensor = inMemory(float32([rows, columns], new Float32Array(rows * columns).fill(1 / rows)));
    } else if (whole === true) value.tensor = inMemory(await value.tensor.read());
  }
  const session = await engine.load(model);
  const loaded = performance.now();
  const { y } = await session.run({ x: float32([1, width], new Float32Array(width).fill(0.1)) });
  const run = performance.now() - loaded;
  const peakBytes = peak();
  await session.release();
  return { open: opened - begin, load: loaded - opened, run, peak: peakBytes, first: Number(y?.data[0]) };
}
