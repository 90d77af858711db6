/** Measures the size of a model on disk and as a web server sends it: compressed once with gzip or brotli. */
import { compressedSize, type Encoding, openFile } from "#platform";
import { PithError } from "../../core/errors.ts";
import type { ByteSource } from "../../core/tensor/types.ts";

const chunkBytes = 2 ** 18;

/** Maximum bytes that are compressed. Brotli takes two seconds per megabyte, so only evenly spaced chunks of larger files are compressed. */
const maxCompressedBytes = 2 ** 23;

/** Returns whether the compressed sizes of a file are estimated. */
export const isEstimated = (bytes: number): boolean => bytes > maxCompressedBytes;

/** Sizes after compression; undefined without a compressor (in browsers). */
export interface CompressedSize {
  /** Level 9. */
  readonly gzip: number | undefined;
  /** Quality 11. */
  readonly brotli: number | undefined;
  /** Whether the sizes are estimated from chunks of the file. */
  readonly sampled: boolean;
}

export interface Size extends CompressedSize {
  readonly bytes: number;
}

export type SizedPart = string | ByteSource | Uint8Array;

/**
 * Returns the size of a file, or the sum of several (a model and its external data). Above 8 MiB the compressed sizes are estimated.
 * @throws PithError E_FILE if one cannot be read.
 */
export async function size(...parts: readonly SizedPart[]): Promise<Size> {
  const { bytes, sources, step } = await openParts(parts);
  const [gzip, brotli] = await Promise.all([totalSize(sources, step, "gzip"), totalSize(sources, step, "br")]);
  return { bytes, gzip, brotli, sampled: isEstimated(bytes) };
}

/** Returns the size after gzip, estimated above 8 MiB. Takes a fiftieth of the time of brotli. */
export async function gzipSize(...parts: readonly SizedPart[]): Promise<number | undefined> {
  const { sources, step } = await openParts(parts);
  return totalSize(sources, step, "gzip");
}

async function openParts(parts: readonly SizedPart[]) {
  const sources = await Promise.all(parts.map((part) => (typeof part === "string" ? openFile(part) : part)));
  const bytes = sources.reduce((sum, source) => sum + lengthOf(source), 0);
  return { sources, bytes, step: Math.max(chunkBytes, Math.ceil((bytes * chunkBytes) / maxCompressedBytes)) };
}

/** Returns the size after brotli of a whole file, however large; undefined without a compressor. */
export const brotliSize = (source: ByteSource): Promise<number | undefined> => totalSize([source], chunkBytes, "br");

async function totalSize(
  sources: readonly (ByteSource | Uint8Array)[],
  step: number,
  encoding: Encoding,
): Promise<number | undefined> {
  let total = 0;
  for (const source of sources) {
    const length = lengthOf(source);
    let compressedBytes = 0;
    for (let start = 0; start < length; start += step) compressedBytes += Math.min(chunkBytes, length - start);
    try {
      const size = await compressedSize(() => chunksOf(source, step), encoding);
      total += compressedBytes === length ? size : Math.round((size * length) / compressedBytes);
    } catch (error) {
      if (error instanceof PithError && error.code === "E_UNSUPPORTED") return undefined;
      throw error;
    }
  }
  return total;
}

async function* chunksOf(source: ByteSource | Uint8Array, step: number): AsyncIterable<Uint8Array> {
  for (let start = 0; start < lengthOf(source); start += step) {
    const end = Math.min(lengthOf(source), start + chunkBytes);
    yield source instanceof Uint8Array ? source.subarray(start, end) : source.read(start, end);
  }
}

function lengthOf(source: ByteSource | Uint8Array): number {
  return source instanceof Uint8Array ? source.length : source.size;
}
