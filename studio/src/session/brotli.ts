/** Measures the size after brotli, as web servers send a file. Browsers have no brotli compressor, so a WebAssembly module compresses. */

import { maxExactBytes } from "../backend/backend.ts";

/** Larger files are estimated from evenly spaced chunks of this size. */
const chunkBytes = 2 ** 16;

let worker: Worker | undefined;
let previous: Promise<unknown> = Promise.resolve();

/** Returns the bytes after brotli (quality 11), estimated above `maxExactBytes`; undefined if the compressor does not load. */
export async function brotliSize(bytes: Uint8Array): Promise<number | undefined> {
  if (bytes.length <= maxExactBytes) return compressedSize(bytes);
  const count = maxExactBytes / chunkBytes;
  const sampled = new Uint8Array(maxExactBytes);
  const step = (bytes.length - chunkBytes) / (count - 1);
  for (let chunk = 0; chunk < count; chunk++) {
    const start = Math.floor(chunk * step);
    sampled.set(bytes.subarray(start, start + chunkBytes), chunk * chunkBytes);
  }
  const size = await compressedSize(sampled);
  return size && Math.round((size * bytes.length) / maxExactBytes);
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
