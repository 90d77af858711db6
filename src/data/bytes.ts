/** Whole files of data, unpacked where they are gzipped. */
import { PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";

/**
 * All bytes of a source; gzip is recognised by its first bytes, whatever the file is called.
 * @throws PithError E_DATA if the compressed data is damaged.
 */
export async function readAll(source: ByteSource): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await source.read(0, source.size);
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return gunzip(bytes, source.name);
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : Uint8Array.from(bytes);
}

export async function isGzip(source: ByteSource): Promise<boolean> {
  const [first, second] = await source.read(0, Math.min(2, source.size));
  return first === 0x1f && second === 0x8b;
}

async function gunzip(bytes: Uint8Array, name: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const blob = new Blob([Uint8Array.from(bytes)]);
    const unpacked = blob.stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(unpacked).arrayBuffer());
  } catch (cause) {
    throw new PithError("E_DATA", `${name}: the gzip data is damaged or cut off.`, { cause });
  }
}

/** A copy with the bytes of each element in reverse: big-endian numbers as little-endian ones. */
export function swapBytes(bytes: Uint8Array, width: number): Uint8Array<ArrayBuffer> {
  const swapped = Uint8Array.from(bytes);
  for (let start = 0; start < swapped.length; start += width) swapped.subarray(start, start + width).reverse();
  return swapped;
}
