/** What a model file says to a data set. */

import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import type { Dataset } from "../../src/data/index.ts";
import { createRunner } from "../../src/runtime/run/run.ts";

export async function outputs(path: string, dataset: Dataset): Promise<Batch[]> {
  const runner = await createRunner(createEngine(), await open(path), dataset.name);
  const found: Batch[] = [];
  for await (const batch of dataset.batches({ size: 64 })) found.push(await runner.run(batch));
  await runner.release();
  return found;
}

export function floats(dense: Dense | undefined): Float32Array {
  return dense?.type === "float32" ? dense.data : new Float32Array();
}
