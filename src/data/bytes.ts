/** Packed files of data: what they hold is bounded before it is unpacked, and unpacked piece by piece. */
import { inflated, type Packing } from "#platform";
import { PithError } from "../errors.ts";
import { concatenated, plainBytes } from "../tensor/dense.ts";
import type { ByteSource } from "../tensor/types.ts";

/** What is held whole: texts and records. JavaScript has no longer text. */
const mostHeld = 2 ** 29;

/**
 * All bytes of a source; gzip is recognised by its first bytes, whatever the file is called.
 * @throws PithError E_DATA if the compressed data is damaged, or for more than 512 MiB.
 */
export async function readAll(source: ByteSource): Promise<Uint8Array<ArrayBuffer>> {
  if (!(await isGzip(source))) {
    if (source.size > mostHeld) throw tooLarge(source.name);
    const bytes = plainBytes(await source.read(0, source.size));
    return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : Uint8Array.from(bytes);
  }
  // Its last four bytes say how much it holds.
  const [a = 0, b = 0, c = 0, d = 0] = await source.read(Math.max(0, source.size - 4), source.size);
  if (a + 2 ** 8 * b + 2 ** 16 * c + 2 ** 24 * d > mostHeld) throw tooLarge(source.name);
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of pieces(source, "gzip")) {
    size += part.length;
    if (size > mostHeld) throw tooLarge(source.name);
    parts.push(part);
  }
  return concatenated(parts);
}

function tooLarge(name: string): PithError {
  return new PithError("E_DATA", `${name} holds more than 512 MiB of text or records.`, {
    hint: "Divide it. Arrays in .npy and .npz files may be larger: their rows are read when they are needed.",
  });
}

export async function isGzip(source: ByteSource): Promise<boolean> {
  const [first, second] = await source.read(0, Math.min(2, source.size));
  return first === 0x1f && second === 0x8b;
}

/** The first bytes of what a gzipped source holds, at least `size`, if there are so many. */
export async function gzipHead(source: ByteSource, size: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let read = 0;
  for await (const part of pieces(source, "gzip")) {
    parts.push(part);
    read += part.length;
    if (read >= size) break;
  }
  return concatenated(parts);
}

/**
 * What a source holds packed, as bytes of their own: unpacked as far as they are asked for, and kept. Reading throws E_DATA where they are not `size`
 * bytes, or damaged.
 */
export function unpacked(packed: ByteSource, packing: Packing, size: number): ByteSource {
  const { name } = packed;
  const parts = pieces(packed, packing);
  let kept = new Uint8Array(Math.min(size, 2 ** 16));
  let count = 0;
  const upTo = async (end: number): Promise<void> => {
    while (count < end) {
      const { done, value } = await parts.next();
      if (done === true) throw new PithError("E_DATA", `${name} is cut off: it holds ${count} bytes of ${size}.`);
      if (count + value.length > size) throw new PithError("E_DATA", `${name} holds more than its ${size} bytes.`);
      if (count + value.length > kept.length) {
        const grown = new Uint8Array(Math.min(size, 2 * (count + value.length)));
        grown.set(kept.subarray(0, count));
        kept = grown;
      }
      kept.set(value, count);
      count += value.length;
    }
  };
  // One read after the other: the pieces come in one order.
  let last = Promise.resolve();
  return {
    name,
    size,
    async read(start, end) {
      last = last.then(() => upTo(end));
      await last;
      return kept.subarray(start, end);
    },
  };
}

/** Packed bytes that are read at a time. */
const chunk = 2 ** 16;

async function* pieces(packed: ByteSource, packing: Packing): AsyncGenerator<Uint8Array> {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let start = 0; start < packed.size; start += chunk)
      yield await packed.read(start, Math.min(packed.size, start + chunk));
  }
  try {
    for await (const part of inflated(chunks(), packing)) yield plainBytes(part);
  } catch (cause) {
    if (cause instanceof PithError) throw cause;
    throw new PithError("E_DATA", `${packed.name}: the compressed data is damaged or cut off.`, { cause });
  }
}

/** A copy with the bytes of each element in reverse: big-endian numbers as little-endian ones. */
export function swapBytes(bytes: Uint8Array, width: number): Uint8Array<ArrayBuffer> {
  const swapped = Uint8Array.from(bytes);
  for (let start = 0; start < swapped.length; start += width) swapped.subarray(start, start + width).reverse();
  return swapped;
}
