/** Compresses files that are downloaded often, and decompresses them. */
import { addAbortSignal, pipeline, Readable, type Transform } from "node:stream";
import { createBrotliCompress, createGunzip, createGzip, constants as zlib } from "node:zlib";
import { throwIfAborted } from "../errors.ts";
import type { Chunks, Compressor } from "./files.ts";

/** Brotli with the largest window that browsers accept. */
const brotli = (quality: number): Transform =>
  createBrotliCompress({ params: { [zlib.BROTLI_PARAM_QUALITY]: quality, [zlib.BROTLI_PARAM_LGWIN]: 24 } });

const compressors: Readonly<Record<Compressor, () => Transform>> = {
  gzip: () => createGzip({ level: 9 }),
  br: () => brotli(11),
  "good br": () => brotli(10),
  "quick br": () => brotli(7),
};

/** Returns the compressed size in bytes. @throws PithError E_STOPPED on the signal. */
export async function compressedSize(
  chunks: () => Chunks,
  encoding: Compressor,
  signal?: AbortSignal,
): Promise<number> {
  let size = 0;
  for await (const piece of compressChunks(chunks, encoding, signal)) size += piece.length;
  return size;
}

/** Yields the compressed bytes lazily. @throws PithError E_STOPPED on the signal. */
export const compressChunks = (
  chunks: () => Chunks,
  encoding: Compressor,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> => transformChunks(chunks(), compressors[encoding](), signal);

const pieceSize = 2 ** 18;

export function inflateChunks(packedChunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return transformChunks(packedChunks, createGunzip({ chunkSize: pieceSize }));
}

/** Passes chunks through a transform. Failures, and E_STOPPED on the signal, are thrown when the result is read. */
async function* transformChunks(chunks: Chunks, transform: Transform, signal?: AbortSignal): AsyncIterable<Uint8Array> {
  if (signal !== undefined) addAbortSignal(signal, transform);
  try {
    yield* pipeline(Readable.from(chunks), transform, () => {});
  } catch (error) {
    throwIfAborted(signal);
    throw error;
  }
}
