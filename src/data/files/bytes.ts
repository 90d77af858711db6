/** Reads files with data, decompressing gzip. Size limits are checked before and during decompression. */

import { type ByteSource, concatBytes, dataError, PithError, unwrapBuffer } from "#ir";
import { availableMemory, inflateChunks } from "#platform";

/** Maximum bytes of text and records, about the maximum length of strings in JavaScript. */
const maxTextBytes = 2 ** 29;

/** Reads a source completely, decompressing gzip. @throws PithError E_DATA if compressed data is damaged, or if the result exceeds 512 MiB. */
export async function readAll(source: ByteSource): Promise<Uint8Array<ArrayBuffer>> {
  if (!(await isGzip(source))) {
    if (source.size > maxTextBytes) throw tooLargeError(source.name);
    const bytes = unwrapBuffer(await source.read(0, source.size));
    return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : Uint8Array.from(bytes);
  }
  // The last four bytes of a gzip file are the uncompressed size of its last member, modulo 2³².
  const [a = 0, b = 0, c = 0, d = 0] = await source.read(Math.max(0, source.size - 4), source.size);
  if (a + 2 ** 8 * b + 2 ** 16 * c + 2 ** 24 * d > maxTextBytes) throw tooLargeError(source.name);
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of decompress(source.name, chunksOf(source))) {
    size += part.length;
    if (size > maxTextBytes) throw tooLargeError(source.name);
    parts.push(part);
  }
  return concatBytes(parts);
}

function tooLargeError(name: string): PithError {
  return dataError(`${name} exceeds 512 MiB of text or records.`, {
    hint: "Split the file, or store arrays in .npy or .npz files, whose rows are read on demand.",
  });
}

export async function isGzip(source: ByteSource): Promise<boolean> {
  const [first, second] = await source.read(0, Math.min(2, source.size));
  return first === 0x1f && second === 0x8b;
}

/** Returns the beginning of a gzip source, uncompressed: at least `size` bytes, or all if there are fewer. */
export async function gzipHead(source: ByteSource, size: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let readBytes = 0;
  for await (const part of decompress(source.name, chunksOf(source))) {
    parts.push(part);
    readBytes += part.length;
    if (readBytes >= size) break;
  }
  return concatBytes(parts);
}

/** Adds uncompressed bytes to the number in memory; a negative number frees them. @throws PithError E_DATA above the limit of the file. */
type MemoryCounter = (bytes: number) => void;

/** Uncompressed arrays are kept in memory, because gzip can be read only in order. */
const maxUnpackedBytes = 2 ** 31;

/** Memory of an open decompression stream: about two pieces of output. */
const streamBytes = 2 ** 19;

/** @param available The available bytes of memory, of which arrays take at most half. */
export function archiveMemory(name: string, available = availableMemory()): MemoryCounter {
  let total = 0;
  const max = Math.min(maxUnpackedBytes, available / 2);
  return (bytes) => {
    total += bytes;
    if (total <= max) return;
    const limit = max === maxUnpackedBytes ? "2 GiB" : `half of the free memory (${Math.floor(max / 2 ** 20)} MiB)`;
    throw dataError(`${name} exceeds ${limit} of compressed arrays.`, {
      hint: "Save it without compression (numpy.savez or .npy files): rows are then read on demand.",
    });
  };
}

/**
 * Returns a source of the `size` uncompressed bytes of a gzip source. Reading throws E_DATA if the data is damaged or has another size.
 * @param checksum The CRC-32 of the uncompressed data, if `compressed` is deflate data without a gzip header, as in zip archives.
 */
export function unpackGzip(compressed: ByteSource, size: number, memory: MemoryCounter, checksum?: number): ByteSource {
  const { name } = compressed;
  const parts = decompress(name, checksum === undefined ? chunksOf(compressed) : gzipOf(compressed, size, checksum));
  let unpackedBytes = new Uint8Array();
  let count = 0;
  let [isBegun, isComplete] = [false, false];
  const unpackUpTo = async (end: number): Promise<void> => {
    if (!isBegun) memory(streamBytes);
    isBegun = true;
    // After the last byte, reading continues to the end of the stream, so that the decompressor checks the checksum.
    while (count < end || (count === size && !isComplete)) {
      const { done, value } = await parts.next();
      if (done === true && count < size) throw dataError(`${name} is truncated: expected ${size} bytes, got ${count}.`);
      if (done === true) {
        isComplete = true;
        memory(-streamBytes);
      } else if (count + value.length > size) throw dataError(`${name} contains more than the declared ${size} bytes.`);
      else {
        if (count + value.length > unpackedBytes.length) {
          // The first bytes contain the header. If more are needed, all are, and pages that are not written take no memory.
          const length = count === 0 ? Math.min(size, 2 * value.length) : size;
          memory(length - unpackedBytes.length);
          const largerBuffer = new Uint8Array(length);
          largerBuffer.set(unpackedBytes.subarray(0, count));
          unpackedBytes = largerBuffer;
        }
        unpackedBytes.set(value, count);
        count += value.length;
      }
    }
  };
  // Reads wait for each other, because the stream has only one order.
  let lastRead = Promise.resolve();
  return {
    name,
    size,
    async read(start, end) {
      lastRead = lastRead.then(() => unpackUpTo(end));
      await lastRead;
      return unpackedBytes.subarray(start, end);
    },
  };
}

/** Wraps deflate data as gzip, so that the decompressor checks the checksum and the size (RFC 1952, 2.3). */
async function* gzipOf(source: ByteSource, size: number, checksum: number): AsyncGenerator<Uint8Array> {
  const [deflate, unknownSystem] = [8, 255];
  yield Uint8Array.of(0x1f, 0x8b, deflate, 0, 0, 0, 0, 0, 0, unknownSystem);
  yield* chunksOf(source);
  const end = new DataView(new ArrayBuffer(8));
  end.setUint32(0, checksum, true);
  end.setUint32(4, size % 2 ** 32, true);
  yield new Uint8Array(end.buffer);
}

const chunkBytes = 2 ** 18;

async function* chunksOf(source: ByteSource): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < source.size; start += chunkBytes)
    yield await source.read(start, Math.min(source.size, start + chunkBytes));
}

async function* decompress(name: string, gzipChunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for await (const part of inflateChunks(gzipChunks)) yield unwrapBuffer(part);
  } catch (cause) {
    if (cause instanceof PithError) throw cause;
    throw dataError(`${name}: the compressed data is damaged or truncated.`, { cause });
  }
}

/** Converts big-endian to little-endian elements. */
export function swapBytes(bytes: Uint8Array, width: number): Uint8Array<ArrayBuffer> {
  const swapped = Uint8Array.from(bytes);
  for (let start = 0; start < swapped.length; start += width) swapped.subarray(start, start + width).reverse();
  return swapped;
}
