/** Reads compressed files in pieces, with limits that are checked before decompression. */
import { inflated } from "#platform";
import { PithError } from "../../core/errors.ts";
import { concatBytes, plainBytes } from "../../core/tensor/dense.ts";
import type { ByteSource } from "../../core/tensor/types.ts";

/** The maximum bytes of text and records, which is the maximum length of JavaScript strings. */
const maxText = 2 ** 29;

/** Reads a source, also gzip. @throws PithError E_DATA if the compressed data is damaged or exceeds 512 MiB. */
export async function readAll(source: ByteSource): Promise<Uint8Array<ArrayBuffer>> {
  if (!(await isGzip(source))) {
    if (source.size > maxText) throw tooLarge(source.name);
    const bytes = plainBytes(await source.read(0, source.size));
    return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : Uint8Array.from(bytes);
  }
  // The last four bytes of gzip are the uncompressed size.
  const [a = 0, b = 0, c = 0, d = 0] = await source.read(Math.max(0, source.size - 4), source.size);
  if (a + 2 ** 8 * b + 2 ** 16 * c + 2 ** 24 * d > maxText) throw tooLarge(source.name);
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of pieces(source.name, chunksOf(source))) {
    size += part.length;
    if (size > maxText) throw tooLarge(source.name);
    parts.push(part);
  }
  return concatBytes(parts);
}

function tooLarge(name: string): PithError {
  return new PithError("E_DATA", `${name} exceeds 512 MiB of text or records.`, {
    hint: "Split the file, or store arrays in .npy or .npz files, whose rows are read on demand.",
  });
}

export async function isGzip(source: ByteSource): Promise<boolean> {
  const [first, second] = await source.read(0, Math.min(2, source.size));
  return first === 0x1f && second === 0x8b;
}

export async function gzipHead(source: ByteSource, size: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let read = 0;
  for await (const part of pieces(source.name, chunksOf(source))) {
    parts.push(part);
    read += part.length;
    if (read >= size) break;
  }
  return concatBytes(parts);
}

/** Counts uncompressed bytes that are kept. @throws PithError E_DATA above the limit */
type MemoryCounter = (bytes: number) => void;

/** Maximum uncompressed bytes of a file's arrays. They stay in memory, because gzip can only be read in order. */
const maxUnpacked = 2 ** 31;

/** Bytes that an open decompression stream takes: two pieces of output and zlib's buffers. */
const streamMemory = 2 ** 19;

export function archiveMemory(name: string): MemoryCounter {
  let total = 0;
  return (bytes) => {
    total += bytes;
    if (total > maxUnpacked)
      throw new PithError("E_DATA", `${name} exceeds 2 GiB of compressed arrays.`, {
        hint: "Save it without compression (numpy.savez or .npy files): rows are then read on demand.",
      });
  };
}

/**
 * Returns the uncompressed bytes of a gzip source, decompressed on demand. Reading throws E_DATA if they are damaged or not
 * `size` bytes.
 * @param checksum the CRC-32 of raw deflate data without gzip header, as in zip archives.
 */
export function unpacked(packed: ByteSource, size: number, memory: MemoryCounter, checksum?: number): ByteSource {
  const { name } = packed;
  const parts = pieces(name, checksum === undefined ? chunksOf(packed) : asGzip(packed, size, checksum));
  let kept = new Uint8Array();
  let count = 0;
  let [isBegun, isComplete] = [false, false];
  const upTo = async (end: number): Promise<void> => {
    if (!isBegun) memory(streamMemory);
    isBegun = true;
    // The checksum follows the last byte.
    while (count < end || (count === size && !isComplete)) {
      const { done, value } = await parts.next();
      if (done === true && count < size)
        throw new PithError("E_DATA", `${name} is truncated: expected ${size} bytes, got ${count}.`);
      if (done === true) {
        isComplete = true;
        memory(-streamMemory);
      } else if (count + value.length > size)
        throw new PithError("E_DATA", `${name} contains more than the declared ${size} bytes.`);
      else {
        if (count + value.length > kept.length) {
          const length = Math.min(size, 2 * (count + value.length));
          memory(length - kept.length);
          const grown = new Uint8Array(length);
          grown.set(kept.subarray(0, count));
          kept = grown;
        }
        kept.set(value, count);
        count += value.length;
      }
    }
  };
  // Reads are sequential, because the pieces come in one order.
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

/** Wraps deflate data as gzip, so that checksum and size are checked. Source: RFC 1952, 2.3. */
async function* asGzip(packed: ByteSource, size: number, checksum: number): AsyncGenerator<Uint8Array> {
  const [deflate, unknownSystem] = [8, 255];
  yield Uint8Array.of(0x1f, 0x8b, deflate, 0, 0, 0, 0, 0, 0, unknownSystem);
  yield* chunksOf(packed);
  const end = new DataView(new ArrayBuffer(8));
  end.setUint32(0, checksum, true);
  end.setUint32(4, size % 2 ** 32, true);
  yield new Uint8Array(end.buffer);
}

const chunk = 2 ** 16;

async function* chunksOf(packed: ByteSource): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < packed.size; start += chunk)
    yield await packed.read(start, Math.min(packed.size, start + chunk));
}

async function* pieces(name: string, gzipped: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for await (const part of inflated(gzipped)) yield plainBytes(part);
  } catch (cause) {
    if (cause instanceof PithError) throw cause;
    throw new PithError("E_DATA", `${name}: the compressed data is damaged or truncated.`, { cause });
  }
}

/** Reverses the bytes of each element: big-endian to little-endian. */
export function swapBytes(bytes: Uint8Array, width: number): Uint8Array<ArrayBuffer> {
  const swapped = Uint8Array.from(bytes);
  for (let start = 0; start < swapped.length; start += width) swapped.subarray(start, start + width).reverse();
  return swapped;
}
