/** Compressed sizes without keeping the bytes, and decompression. */
import { pipeline, Readable } from "node:stream";
import { createBrotliCompress, createGunzip, constants as zlib } from "node:zlib";
import type { Chunks } from "./files.ts";

export async function brotliSize(chunks: Chunks, quality: number): Promise<number> {
  const params = { [zlib.BROTLI_PARAM_QUALITY]: quality, [zlib.BROTLI_PARAM_LGWIN]: 24 };
  const compressor = createBrotliCompress({ params });
  let size = 0;
  compressor.on("data", (chunk: Uint8Array) => {
    size += chunk.byteLength;
  });
  const done = new Promise<void>((fulfil, reject) => {
    compressor.on("end", fulfil);
    compressor.on("error", reject);
  });
  for await (const chunk of chunks) {
    if (!compressor.write(chunk)) await new Promise((fulfil) => compressor.once("drain", fulfil));
  }
  compressor.end();
  await done;
  return size;
}

/** The bytes per unpacked piece: large ones need fewer steps. */
const pieceSize = 2 ** 18;

/** Unpacks a gzip file lazily, in pieces; fails with zlib's error for damaged bytes. */
export function inflated(packed: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  // A failure is thrown where the pieces are read.
  return pipeline(Readable.from(packed), createGunzip({ chunkSize: pieceSize }), () => {});
}
