/** Measures the size after brotli, as web servers send a file. Browsers have no brotli compressor, so a WebAssembly module compresses. */

/** Larger files take minutes in a tab. */
const maxBytes = 2 ** 24;

let worker: Worker | undefined;
let previous: Promise<unknown> = Promise.resolve();

/** Returns the bytes after brotli (quality 11); undefined for files above 16 MiB. */
export function brotliSize(bytes: Uint8Array): Promise<number | undefined> {
  if (bytes.length > maxBytes) return Promise.resolve(undefined);
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
