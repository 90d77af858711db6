import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { contentOfBytes } from "./content.ts";
import { gzipSize } from "./download-sizes.ts";

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
