/** Measures sizes after gzip and brotli, as web servers send a file. Browsers have no brotli compressor, so a WebAssembly module compresses. */

import { maxExactBytes } from "../backend/backend.ts";
import type { Content } from "./content.ts";
import type { CallContext } from "./session.ts";

/** Larger files are estimated from evenly spaced chunks of this size. */
const chunkBytes = 2 ** 16;

let previous: Promise<unknown> = Promise.resolve();

/** Returns the bytes after gzip. @param bytes of the file whose contents these are, or most of them. */
export async function gzipSize(content: Content, bytes = content.size): Promise<number> {
  const chunks = sampleOf(content, maxExactBytes.gzip);
  const source = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const { value, done } = await chunks.next();
      if (done === true) controller.close();
      else controller.enqueue(new Uint8Array(value));
    },
  });
  let compressed = 0;
  const counter = new WritableStream<Uint8Array>({
    write: ({ length }) => {
      compressed += length;
    },
  });
  await source.pipeThrough(new CompressionStream("gzip")).pipeTo(counter);
  return extrapolate(compressed, content, bytes, maxExactBytes.gzip);
}

/**
 * Returns the bytes after brotli (quality 11); undefined if the compressor does not load. The compressor takes seconds, so it runs while nothing is
 * computed: it would slow down what the user waits for, and disturb timings.
 * @param bytes of the file whose contents these are, or most of them.
 */
export function brotliSize(
  content: Content,
  { whenIdle }: CallContext,
  bytes = content.size,
): Promise<number | undefined> {
  const size = previous.then(async () => {
    for (;;) {
      const interruption = await whenIdle();
      const sample = new Uint8Array(Math.min(content.size, maxExactBytes.brotli));
      let length = 0;
      for await (const chunk of sampleOf(content, maxExactBytes.brotli)) {
        sample.set(chunk, length);
        length += chunk.length;
      }
      const compressed = await compress(sample, interruption);
      if (!interruption.aborted) return compressed && extrapolate(compressed, content, bytes, maxExactBytes.brotli);
    }
  });
  previous = size.catch(() => {});
  return size;
}

/** Reads all of a content, or evenly spaced chunks of a large one. */
async function* sampleOf({ size, read }: Content, maxBytes: number): AsyncGenerator<Uint8Array, void> {
  const count = Math.ceil(Math.min(size, maxBytes) / chunkBytes);
  const step = size <= maxBytes ? chunkBytes : (size - chunkBytes) / (count - 1);
  for (let chunk = 0; chunk < count; chunk++) {
    const start = Math.floor(chunk * step);
    yield await read(start, Math.min(size, start + chunkBytes));
  }
}

const extrapolate = (compressed: number, { size }: Content, bytes: number, maxBytes: number): number =>
  size <= maxBytes ? compressed : Math.round((compressed * bytes) / maxBytes);

function compress(bytes: Uint8Array, interruption: AbortSignal): Promise<number | undefined> {
  return new Promise((resolve) => {
    const worker = new Worker(new URL("./brotli-worker.ts", import.meta.url), { type: "module" });
    const end = (size: number | undefined): void => {
      worker.terminate();
      resolve(size);
    };
    worker.onmessage = ({ data }: MessageEvent<number>) => end(data);
    worker.onerror = () => end(undefined);
    if (interruption.aborted) end(undefined);
    interruption.addEventListener("abort", () => end(undefined));
    worker.postMessage(bytes);
  });
}
