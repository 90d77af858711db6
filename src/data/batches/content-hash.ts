/** Computes content hashes of datasets, which show whether two runs used the same samples. */

import { bytesOf, bytesOfText, type Dense } from "#ir";
import { sha256, sha256Text } from "../../core/files/hash.ts";
import type { Dataset } from "./dataset.ts";
import { sampleCount } from "./rows.ts";

/** Samples per digest. Another number would change all hashes, also those in existing records. */
const chunk = 256;

/** Returns a SHA-256 over digests of 256 samples each: of names, types, dimensions and elements, but not of the dataset's name or location. */
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

export function haveSameElements(first: Dense, second: Dense): boolean {
  const [a, b] = [elementBytes(first), elementBytes(second)];
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/** Returns two independent 32-bit hashes of bytes, to find equal ones in memory quickly. */
export function quickHash({ buffer, byteOffset, byteLength }: Uint8Array): string {
  const words =
    (byteOffset | byteLength) % 4 === 0
      ? new Uint32Array(buffer, byteOffset, byteLength / 4)
      : new Uint8Array(buffer, byteOffset, byteLength);
  let [a, b] = [byteLength, ~byteLength];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? 0;
    a = Math.imul((a << 13) | (a >>> 19), 0x9e3779b1) ^ Math.imul(word, 0x85ebca77);
    b = Math.imul((b << 17) | (b >>> 15), 0xc2b2ae3d) ^ Math.imul(word ^ (word >>> 15), 0x27d4eb2f);
  }
  return `${a} ${b}`;
}

export function elementBytes(dense: Dense): Uint8Array {
  return dense.type === "string" ? bytesOfText(JSON.stringify(dense.data)) : bytesOf(dense);
}
