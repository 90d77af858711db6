/** Runs a model file on a dataset. */

import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import type { Dataset } from "../../src/data/index.ts";
import { createRunner } from "../../src/runtime/run/runner.ts";

export async function outputs(path: string, dataset: Dataset): Promise<Batch[]> {
  const runner = await createRunner(createEngine(), await open(path), dataset.name);
  const results: Batch[] = [];
  for await (const batch of dataset.batches({ size: 64 })) results.push(await runner.run(batch));
  await runner.release();
  return results;
}

export function floats(dense: Dense | undefined): Float32Array {
  return dense?.type === "float32" ? dense.data : new Float32Array();
}
