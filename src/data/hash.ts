/** What a data set holds, as a number for the record: two runs were on the same samples exactly if their hashes are equal. */
import { bytesOf, bytesOfText, concatenated, hexadecimal } from "../tensor/dense.ts";
import type { Dense } from "../tensor/types.ts";
import { sampleCount } from "./rows.ts";
import type { Dataset } from "./types.ts";

/** Samples per digest. Part of the definition: another number gives other hashes. */
const chunk = 256;

/**
 * SHA-256 of a data set, in hexadecimal: over the digests of its batches of 256 in order, each of names, types, dimensions and elements.
 * The name of the data set and where it lies do not count.
 */
export async function contentHash(dataset: Dataset): Promise<string> {
  const digests: Uint8Array[] = [];
  for await (const batch of dataset.batches({ size: chunk })) {
    const parts: Uint8Array[] = [bytesOfText(`${sampleCount(batch, dataset.name)};`)];
    for (const name of Object.keys(batch).sort()) {
      const dense = batch[name];
      if (dense === undefined) continue;
      const elements = elementBytes(dense);
      parts.push(bytesOfText(JSON.stringify([name, dense.type, dense.dims, elements.length])), elements);
    }
    digests.push(await sha256(parts));
  }
  return sha256Text(digests);
}

/** SHA-256 of parts one after the other, in hexadecimal. */
export async function sha256Text(parts: readonly Uint8Array[]): Promise<string> {
  return hexadecimal(await sha256(parts));
}

export function haveSameElements(some: Dense, others: Dense): boolean {
  const [a, b] = [elementBytes(some), elementBytes(others)];
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

export function elementBytes(dense: Dense): Uint8Array {
  return dense.type === "string" ? bytesOfText(JSON.stringify(dense.data)) : bytesOf(dense);
}

async function sha256(parts: readonly Uint8Array[]): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", concatenated(parts)));
}
