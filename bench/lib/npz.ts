/** A file of named tensors as NumPy writes it: samples for a command that takes `--data`. */
import { writeFileSync } from "node:fs";
import type { Batch } from "../../src/core/tensor/types.ts";
import { npzBytes } from "../../src/data/files/npy.ts";

/** @throws PithError E_UNSUPPORTED for a type that NumPy does not have. */
export async function writeNpz(path: string, tensors: Batch): Promise<void> {
  writeFileSync(path, await npzBytes(tensors));
}
