/** Measures the size of a model on disk and as a web server sends it: compressed in advance with gzip or brotli. */

import { type ByteSource, PithError } from "#ir";
import { type Compressor, compressedSize, type Encoding, openFile } from "#platform";

/** Bytes per chunk. Larger chunks would cover too few layers. */
const chunkBytes = 2 ** 16;

/** Maximum bytes that are compressed, because brotli is slow. Of larger files, evenly spaced chunks are compressed. */
const maxCompressedBytes: Readonly<Record<Encoding, number>> = { gzip: 2 ** 23, br: 2 ** 21 };

/** Maximum bytes of quick sizes after brotli at qualities 11 and 10. */
const [maxBestBytes, maxGoodBytes] = [2 ** 15, 2 ** 19];

/** Bytes of a larger file from which the gain of quality 10 over 7 is estimated. */
const ratioBytes = 2 ** 16;

export const isEstimated = (bytes: number, encoding: Encoding): boolean => bytes > maxCompressedBytes[encoding];

/** Sizes after compression; undefined without a compressor (brotli in browsers). */
export interface CompressedSize {
  /** Level 9; in browsers, their fixed level. */
  readonly gzip: number | undefined;
  /** Quality 11. */
  readonly brotli: number | undefined;
  /** Whether the size after brotli is estimated. */
  readonly sampled: boolean;
}

export interface Size extends CompressedSize {
  readonly bytes: number;
}

export type SizedPart = string | ByteSource | Uint8Array;

/** Returns the size of a file, or of several together. Sizes of large files after compression are estimates. @throws PithError E_FILE. */
export const size = (...parts: readonly SizedPart[]): Promise<Size> => measureSize(parts, undefined);

/** Sizes files as `size` does. @param maxBrotliBytes larger files are estimated after brotli. @throws PithError E_STOPPED. */
export async function measureSize(
  parts: readonly SizedPart[],
  signal: AbortSignal | undefined,
  maxBrotliBytes: number | "quick" = maxCompressedBytes.br,
): Promise<Size> {
  const sources = await Promise.all(parts.map((part) => (typeof part === "string" ? openFile(part) : part)));
  const bytes = sources.reduce((sum, source) => sum + lengthOf(source), 0);
  const isExact = maxBrotliBytes !== "quick" || bytes <= maxBestBytes;
  const compressor = isExact ? "br" : bytes <= maxGoodBytes ? "good br" : "quick br";
  const maxBytes = maxBrotliBytes === "quick" ? maxCompressedBytes.br : maxBrotliBytes;
  const measure = (encoding: Compressor, maxBytes: number) =>
    totalSize(sources, stepFor(bytes, maxBytes), encoding, signal);
  const [gzip, ...sizes] = await Promise.all([
    measure("gzip", maxCompressedBytes.gzip),
    measure(compressor, maxBytes),
    ...(compressor === "quick br" ? [measure("good br", ratioBytes), measure(compressor, ratioBytes)] : []),
  ]);
  const [total, best = 1, quick = 1] = sizes;
  const brotli = total && Math.round((total * best) / quick);
  return { bytes, gzip, brotli, sampled: !isExact || bytes > maxBytes };
}

const stepFor = (bytes: number, maxBytes: number): number =>
  Math.max(chunkBytes, Math.ceil((bytes * chunkBytes) / maxBytes));

/** Returns the size after brotli of a whole file. */
export const brotliSize = (source: ByteSource, signal: AbortSignal | undefined): Promise<number | undefined> =>
  totalSize([source], chunkBytes, "br", signal);

async function totalSize(
  sources: readonly (ByteSource | Uint8Array)[],
  step: number,
  encoding: Compressor,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  let total = 0;
  for (const source of sources) {
    const length = lengthOf(source);
    const compressedBytes = chunkRanges(length, step).reduce((sum, [start, end]) => sum + end - start, 0);
    try {
      const size = await compressedSize(() => chunksOf(source, step), encoding, signal);
      total += compressedBytes === length ? size : Math.round((size * length) / compressedBytes);
    } catch (error) {
      if (error instanceof PithError && error.code === "E_UNSUPPORTED") return undefined;
      throw error;
    }
  }
  return total;
}

async function* chunksOf(source: ByteSource | Uint8Array, step: number): AsyncIterable<Uint8Array> {
  for (const [start, end] of chunkRanges(lengthOf(source), step))
    yield source instanceof Uint8Array ? source.subarray(start, end) : source.read(start, end);
}

/** Returns one chunk from the middle of each step. The first bytes of a model are its nodes, which compress better than weights. */
function chunkRanges(length: number, step: number): readonly (readonly [start: number, end: number])[] {
  const margin = Math.min(Math.floor((step - chunkBytes) / 2), Math.max(0, length - chunkBytes));
  const ranges: [number, number][] = [];
  for (let start = margin; start < length; start += step) ranges.push([start, Math.min(length, start + chunkBytes)]);
  return ranges;
}

function lengthOf(source: ByteSource | Uint8Array): number {
  return source instanceof Uint8Array ? source.length : source.size;
}
