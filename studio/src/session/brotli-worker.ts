/** Compresses in a thread of its own, because brotli takes seconds per megabyte. */
import brotliReady from "brotli-wasm";

self.onmessage = async ({ data }: MessageEvent<Uint8Array>) => {
  const { compress } = await brotliReady;
  self.postMessage(compress(data, { quality: 11 }));
};
