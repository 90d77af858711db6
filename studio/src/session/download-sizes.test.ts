import { gzipSync } from "node:zlib";
import { afterEach, expect, test, vi } from "vitest";
import { contentOfBytes } from "./content.ts";
import { brotliSize, gzipSize } from "./download-sizes.ts";

/** Bytes that repeat after a prime number, so that chunks differ. */
const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => (index % 251) ** 2);

test("gzip of a small file is exact", async () => {
  const bytes = bytesOf(300_000);
  expect(await gzipSize(contentOfBytes(bytes))).toBe(gzipSync(bytes).length);
});

test("gzip of a large file is estimated from chunks, in proportion to its bytes", async () => {
  const [chunk, size] = [bytesOf(2 ** 16), 2 ** 28];
  let read = 0;
  const content = {
    size,
    read: async (start: number, end: number) => {
      read += end - start;
      return chunk.subarray(0, end - start);
    },
  };
  const estimate = await gzipSize(content, 2 * size);
  expect(read).toBe(2 ** 26);
  const chunks = Array.from({ length: 2 ** 10 }, () => chunk);
  expect(estimate).toBe(8 * gzipSync(Buffer.concat(chunks)).length);
});

afterEach(() => vi.unstubAllGlobals());

test("two files are compressed at once, and the newest of the others is next", async () => {
  const started: { readonly length: number; readonly end: () => void }[] = [];
  class Compressor {
    onmessage: (message: { data: Uint8Array }) => void = () => {};
    postMessage({ length }: Uint8Array): void {
      started.push({ length, end: () => this.onmessage({ data: new Uint8Array(length / 2) }) });
    }
    terminate(): void {}
  }
  vi.stubGlobal("Worker", Compressor);
  const { signal } = new AbortController();
  const sizes = [100, 200, 300, 400].map((length) =>
    brotliSize(contentOfBytes(bytesOf(length)), { whenIdle: async () => signal }, length),
  );
  for (const count of [2, 3, 4]) {
    await vi.waitFor(() => expect(started).toHaveLength(count));
    started[count - 2]?.end();
  }
  started[3]?.end();
  expect(await Promise.all(sizes)).toEqual([50, 100, 150, 200]);
  expect(started.map(({ length }) => length)).toEqual([100, 200, 400, 300]);
});
