/** A file of named tensors as NumPy writes it: samples for a command that takes `--data`. */
import { writeFileSync } from "node:fs";
import { zipSync } from "fflate";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";

const codes: Readonly<Record<string, string>> = {
  float16: "f2",
  float32: "f4",
  float64: "f8",
  int8: "i1",
  int16: "i2",
  int32: "i4",
  int64: "i8",
  uint8: "u1",
  uint16: "u2",
  uint32: "u4",
  uint64: "u8",
  bool: "b1",
};

/** @throws Error for a type that NumPy does not have. */
export function writeNpz(path: string, tensors: Batch): void {
  writeFileSync(
    path,
    zipSync(Object.fromEntries(Object.entries(tensors).map(([name, dense]) => [`${name}.npy`, npy(dense)])), {
      level: 0,
    }),
  );
}

function npy(dense: Dense): Uint8Array {
  const code = codes[dense.type];
  if (code === undefined || dense.type === "string") throw new Error(`NumPy has no ${dense.type}.`);
  const dims = `(${dense.dims.map((dim) => `${dim},`).join("")})`;
  const header = `{'descr': '<${code}', 'fortran_order': False, 'shape': ${dims}, }`;
  const padded = `${header.padEnd(Math.ceil((header.length + 11) / 64) * 64 - 11)}\n`;
  const head = new Uint8Array([
    0x93,
    ...new TextEncoder().encode("NUMPY"),
    1,
    0,
    padded.length & 255,
    padded.length >> 8,
  ]);
  return Buffer.concat([
    head,
    new TextEncoder().encode(padded),
    new Uint8Array(dense.data.buffer, dense.data.byteOffset, dense.data.byteLength),
  ]);
}
