/** Files of zeros that take no room on disk. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "../temporary.ts";

const root = temporaryFolder();
export const mebibyte = 2 ** 20;
/** Larger than the memory that the tests allow; a sparse file, which takes little of the disk. */
export const size = 768 * mebibyte;

/** Writes a file with a header and `body` bytes: zeros, and a mark at the end. */
export async function sparse(name: string, header: Uint8Array, body: number, mark: Uint8Array): Promise<string> {
  const path = join(root, name);
  const file = await open(path, "w");
  await file.truncate(header.length + body);
  await file.write(header, 0, header.length, 0);
  await file.write(mark, 0, mark.length, header.length + body - mark.length);
  await file.close();
  return path;
}

function npyHeader(dims: string): Uint8Array {
  const text = new TextEncoder().encode(`{'descr': '<f4', 'fortran_order': False, 'shape': (${dims}), }\n`);
  return Uint8Array.of(0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, text.length, 0, ...text);
}

export function npy(): Promise<string> {
  return sparse("a.npy", npyHeader(`${size / 4096}, 1024`), size, new Uint8Array(Float32Array.of(7).buffer));
}
