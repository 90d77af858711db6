/** Measures sizes after gzip and brotli, as web servers send a file. Browsers have no brotli compressor, so a WebAssembly module compresses. */

import { PithError } from "pith";
import { maxExactBytes } from "../backend/backend.ts";
import type { Content } from "./content.ts";
import type { CallContext } from "./session.ts";

/** Larger files are estimated from evenly spaced chunks of this size. */
const chunkBytes = 2 ** 16;

/** Maximum number of files that are compressed at once. */
const maxCompressing = 2;
let compressing = 0;
const waiting: (() => void)[] = [];

/** Returns the bytes after gzip. @param bytes of the file whose contents these are, or most of them. */
export async function gzipSize(content: Content, bytes = content.size): Promise<number> {
  const sample = await sampleOf(content, maxExactBytes.gzip);
  const { size } = await new Response(sample.stream().pipeThrough(new CompressionStream("gzip"))).blob();
  return extrapolate(size, content, bytes, maxExactBytes.gzip);
}

/**
 * Returns the bytes after brotli (quality 11); undefined if the compressor does not load. It takes seconds, so it runs while nothing is computed.
 * Otherwise it would slow down what the user waits for, and disturb timings. The newest file is next, because the page waits for its last result.
 * @param bytes of the file whose contents these are, or most of them.
 */
export async function brotliSize(
  content: Content,
  { whenIdle }: Pick<CallContext, "whenIdle">,
  bytes: number,
): Promise<number | undefined> {
  for (;;) {
    await whenIdle();
    await startCompressing();
    try {
      const interruption = await whenIdle();
      const sample = await sampleOf(content, maxExactBytes.brotli);
      const compressed = await compress(new Uint8Array(await sample.arrayBuffer()), interruption);
      if (!interruption.aborted)
        return compressed && extrapolate(compressed.length, content, bytes, maxExactBytes.brotli);
    } finally {
      endCompressing();
    }
  }
}

async function startCompressing(): Promise<void> {
  if (compressing === maxCompressing) await new Promise<void>((start) => waiting.push(start));
  else compressing += 1;
}

function endCompressing(): void {
  const startNewest = waiting.pop();
  if (startNewest === undefined) compressing -= 1;
  else startNewest();
}

/** Returns all of a content, or evenly spaced chunks of a large one. The browser keeps the bytes outside of the tab's memory. */
async function sampleOf({ size, read }: Content, maxBytes: number): Promise<Blob> {
  const count = Math.ceil(Math.min(size, maxBytes) / chunkBytes);
  const step = size <= maxBytes ? chunkBytes : (size - chunkBytes) / (count - 1);
  const chunks: Blob[] = [];
  for (let start = 0; chunks.length < count; start = Math.floor(chunks.length * step))
    chunks.push(new Blob([new Uint8Array(await read(start, Math.min(size, start + chunkBytes)))]));
  return new Blob(chunks);
}

const extrapolate = (compressed: number, { size }: Content, bytes: number, maxBytes: number): number =>
  size <= maxBytes ? compressed : Math.round((compressed * bytes) / maxBytes);

/** Returns a file after brotli. @throws PithError E_ENGINE if the compressor does not load. */
export async function brotliOf(bytes: Uint8Array, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const compressed = await compress(bytes, signal);
  signal.throwIfAborted();
  if (compressed === undefined)
    throw new PithError("E_ENGINE", "The compressor for brotli was not loaded.", {
      hint: "Reload the page, or take the .gz file.",
    });
  return compressed;
}

function compress(bytes: Uint8Array, interruption: AbortSignal): Promise<Uint8Array<ArrayBuffer> | undefined> {
  return new Promise((resolve) => {
    const worker = new Worker(new URL("./brotli-worker.ts", import.meta.url), { type: "module" });
    const end = (compressed?: Uint8Array<ArrayBuffer>): void => {
      worker.terminate();
      resolve(compressed);
    };
    worker.onmessage = ({ data }: MessageEvent<Uint8Array<ArrayBuffer>>) => end(data);
    worker.onerror = () => end();
    interruption.addEventListener("abort", () => end());
    if (interruption.aborted) end();
    else worker.postMessage(bytes);
  });
}
