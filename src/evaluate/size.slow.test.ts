import { brotliCompressSync, constants } from "node:zlib";
import { describe, expect, test } from "vitest";
import { random } from "../tensor/random.ts";
import { brotliQuality, size } from "./size.ts";

const compressed = (bytes: Uint8Array): number =>
  brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: brotliQuality } }).length;

/** Bytes of which every `step`-th is random. */
function bytesOf(count: number, step: number): Uint8Array {
  const numbers = random(1);
  const bytes = new Uint8Array(count);
  for (let at = 0; at < count; at += step) bytes[at] = numbers.integer(256);
  return bytes;
}

describe("size", () => {
  test("a small file is compressed as a whole, several are added up", async () => {
    const bytes = bytesOf(100_000, 3);
    expect(await size(bytes)).toEqual({ bytes: 100_000, brotli: compressed(bytes), sampled: false });
    expect(await size(bytes, bytes)).toEqual({ bytes: 200_000, brotli: 2 * compressed(bytes), sampled: false });
    expect(await size(new Uint8Array())).toMatchObject({ bytes: 0, sampled: false });
  });

  test("of a large one a part is, spaced evenly", async () => {
    const large = bytesOf(2 ** 26 + 2 ** 24 + 12_345, 16);
    // A quarter holds nothing.
    large.fill(0, 0.75 * large.length);
    const read: [number, number][] = [];
    const source = {
      name: "large",
      size: large.length,
      read: async (start: number, end: number) => {
        read.push([start, end]);
        return large.subarray(start, end);
      },
    };
    const found = await size(source);
    expect(found.sampled).toBe(true);
    expect(read.reduce((sum, [start, end]) => sum + end - start, 0)).toBeLessThanOrEqual(2 ** 26);
    expect(read.at(-1)?.[0]).toBeGreaterThan(0.9 * large.length);
    const whole = compressed(large);
    expect(Math.abs((found.brotli ?? 0) - whole) / whole).toBeLessThan(0.15);
    expect(await size(large)).toEqual(found);
  });
});
