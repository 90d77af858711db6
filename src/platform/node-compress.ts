/** How many bytes remain after compression, without keeping any of them. */
import { createBrotliCompress, constants as zlib } from "node:zlib";
import type { Chunks } from "./files.ts";

/** The size in bytes after brotli at a quality from 0 to 11. */
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
