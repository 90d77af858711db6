/** Compresses files that are downloaded often, and decompresses them. */
import { pipeline, Readable, type Transform } from "node:stream";
import { createBrotliCompress, createGunzip, createGzip, constants as zlib } from "node:zlib";
import type { Chunks, Encoding } from "./files.ts";

/**
 * The strategies of zlib. All are tried, because the best strategy depends on the weights: low-entropy weights become up to 9 % smaller than with the
 * default strategy.
 */
const strategies = [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE];

/** Brotli with the largest window that browsers accept. */
const brotli = { [zlib.BROTLI_PARAM_QUALITY]: 11, [zlib.BROTLI_PARAM_LGWIN]: 24 };

const compressors: Readonly<Record<Encoding, readonly (() => Transform)[]>> = {
  gzip: strategies.map((strategy) => () => createGzip({ level: 9, strategy })),
  br: [() => createBrotliCompress({ params: brotli })],
};

/** Returns the compressed size in bytes: with gzip at level 9 and the best strategy, or with brotli at quality 11. */
export async function compressedSize(chunks: () => Chunks, encoding: Encoding): Promise<number> {
  return Math.min(...(await compressedSizes(chunks, encoding)));
}

/** Yields the compressed bytes lazily, with the same settings as `compressedSize`. */
export async function* compressed(chunks: () => Chunks, encoding: Encoding): AsyncIterable<Uint8Array> {
  const candidates = compressors[encoding];
  const bytes = candidates.length === 1 ? [0] : await compressedSizes(chunks, encoding);
  const best = candidates[bytes.indexOf(Math.min(...bytes))];
  if (best !== undefined) yield* transformChunks(chunks(), best());
}

function compressedSizes(chunks: () => Chunks, encoding: Encoding): Promise<readonly number[]> {
  return Promise.all(
    compressors[encoding].map(async (create) => {
      let size = 0;
      for await (const piece of transformChunks(chunks(), create())) size += piece.length;
      return size;
    }),
  );
}

/** The bytes per decompressed piece. Large pieces need fewer steps. */
const pieceSize = 2 ** 18;

/** Decompresses a gzip file lazily, in pieces. Damaged bytes cause an error of zlib. */
export function inflated(packed: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return transformChunks(packed, createGunzip({ chunkSize: pieceSize }));
}

/** Passes chunks through a transform. Failures are thrown when the result is read. */
function transformChunks(chunks: Chunks, transform: Transform): AsyncIterable<Uint8Array> {
  return pipeline(Readable.from(chunks), transform, () => {});
}
