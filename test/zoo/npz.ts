/** Inputs and outputs of exported networks. */
import { readFileSync } from "node:fs";
import { unzipSync } from "fflate";
import type { Batch } from "../../src/core/tensor/types.ts";
import { parseNpy } from "../../src/data/files/npy.ts";

export function readNpz(path: string): Batch {
  const files = Object.entries(unzipSync(readFileSync(path)));
  return Object.fromEntries(files.map(([file, bytes]) => [file.replace(/\.npy$/, ""), parseNpy(bytes, file)]));
}
