/** Compresses files that are downloaded often, and decompresses them. */
import { pipeline, Readable, type Transform } from "node:stream";
import { createBrotliCompress, createGunzip, createGzip, constants as zlib } from "node:zlib";
import type { Chunks, Encoding } from "./files.ts";

/**
 * The strategies of zlib, all of which are tried. The best one depends on the weights: low-entropy weights are
 * up to 9 % smaller than with the default strategy.
 */
const strategies = [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE];

/** Brotli with the largest window that browsers accept. */
const brotli = { [zlib.BROTLI_PARAM_QUALITY]: 11, [zlib.BROTLI_PARAM_LGWIN]: 24 };

const compressors: Readonly<Record<Encoding, readonly (() => Transform)[]>> = {
  gzip: strategies.map((strategy) => () => createGzip({ level: 9, strategy })),
  br: [() => createBrotliCompress({ params: brotli })],
};

/** Returns the number of bytes that `compressed` yields: with gzip at level 9 and the best strategy, or with brotli at quality 11. */
export async function compressedSize(chunks: () => Chunks, encoding: Encoding): Promise<number> {
  return Math.min(...(await sizes(chunks, encoding)));
}

/** Yields the compressed bytes lazily; their number is `compressedSize`. */
export async function* compressed(chunks: () => Chunks, encoding: Encoding): AsyncIterable<Uint8Array> {
  const choices = compressors[encoding];
  const bytes = choices.length === 1 ? [0] : await sizes(chunks, encoding);
  const best = choices[bytes.indexOf(Math.min(...bytes))];
  if (best !== undefined) yield* through(chunks(), best());
}

function sizes(chunks: () => Chunks, encoding: Encoding): Promise<readonly number[]> {
  return Promise.all(
    compressors[encoding].map(async (create) => {
      let size = 0;
      for await (const piece of through(chunks(), create())) size += piece.length;
      return size;
    }),
  );
}

/** The bytes per unpacked piece. Large pieces need fewer steps. */
const pieceSize = 2 ** 18;

/** Unpacks a gzip file lazily, in pieces. Damaged bytes cause zlib's own error. */
export function inflated(packed: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return through(packed, createGunzip({ chunkSize: pieceSize }));
}

/** Passes chunks through a transform. Failures are thrown when the result is read. */
function through(chunks: Chunks, transform: Transform): AsyncIterable<Uint8Array> {
  return pipeline(Readable.from(chunks), transform, () => {});
}
