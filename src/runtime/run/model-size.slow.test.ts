/** The size of a file that is too large to compress as a whole. */
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { random } from "../../core/tensor/random.ts";
import { size } from "./model-size.ts";

const gzipOf = (bytes: Uint8Array): number => gzipSync(bytes, { level: 9 }).length;

/** Returns random values of low entropy, similar to quantized weights. */
function lowEntropy(count: number): Uint8Array {
  const numbers = random(1);
  return Uint8Array.from({ length: count }, () => Math.round(numbers.uniform(-1, 1) + numbers.uniform(-1, 1)) & 255);
}

describe("size", () => {
  it("estimates the sizes of a large file from chunks, and marks them as estimated", async () => {
    const large = new Uint8Array(3 * 2 ** 23 + 12_345);
    large.set(lowEntropy(2 ** 20), 2 ** 23);
    const read: [number, number][] = [];
    const source = {
      name: "large",
      size: large.length,
      read: async (start: number, end: number) => {
        read.push([start, end]);
        return large.subarray(start, end);
      },
    };
    const sizes = await size(source);
    expect(sizes).toMatchObject({ bytes: large.length, sampled: true });
    // Gzip compresses 8 MiB, and brotli 2 MiB.
    expect(read.reduce((sum, [start, end]) => sum + end - start, 0)).toBeLessThanOrEqual(2 ** 23 + 2 ** 21);
    expect(Math.max(...read.map(([, end]) => end))).toBeGreaterThan(0.9 * large.length);
    const ratio = (sizes.gzip ?? 0) / gzipOf(large);
    expect(ratio).toBeGreaterThan(0.5);
    expect(ratio).toBeLessThan(2);
  });
});
