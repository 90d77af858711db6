/** Measures the size after brotli, as web servers send a file. Browsers have no brotli compressor, so a WebAssembly module compresses. */

import { maxExactBytes } from "../backend/backend.ts";
import type { Content } from "./content.ts";

/** Larger files are estimated from evenly spaced chunks of this size. */
const chunkBytes = 2 ** 16;

let worker: Worker | undefined;
let previous: Promise<unknown> = Promise.resolve();

/**
 * Returns the bytes after brotli (quality 11), estimated above `maxExactBytes`; undefined if the compressor does not load.
 * @param bytes of the file whose contents these are, or most of them.
 */
export async function brotliSize({ size, read }: Content, bytes = size): Promise<number | undefined> {
  if (size <= maxExactBytes) return compressedSize(await read(0, size));
  const count = maxExactBytes / chunkBytes;
  const sampled = new Uint8Array(maxExactBytes);
  const step = (size - chunkBytes) / (count - 1);
  for (let chunk = 0; chunk < count; chunk++) {
    const start = Math.floor(chunk * step);
    sampled.set(await read(start, start + chunkBytes), chunk * chunkBytes);
  }
  const compressed = await compressedSize(sampled);
  return compressed && Math.round((compressed * bytes) / maxExactBytes);
}

function compressedSize(bytes: Uint8Array): Promise<number | undefined> {
  const size = previous.then(
    () =>
      new Promise<number | undefined>((resolve) => {
        worker ??= new Worker(new URL("./brotli-worker.ts", import.meta.url), { type: "module" });
        worker.onmessage = ({ data }: MessageEvent<number>) => resolve(data);
        worker.onerror = () => {
          worker = undefined;
          resolve(undefined);
        };
        worker.postMessage(bytes);
      }),
  );
  previous = size;
  return size;
}
