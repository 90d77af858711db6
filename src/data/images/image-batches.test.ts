import { expect, test } from "vitest";
import { ImageCache } from "./image-batches.ts";

/** Reads images of one byte, whose key is their number, and keeps them. @returns how many were kept before. */
function readAll(cache: ImageCache, images: readonly number[]): number {
  return images.filter((number) => {
    const isKept = cache.get(`${number}`) !== undefined;
    cache.add(`${number}`, { height: 1, width: 1, data: new Uint8Array(1) });
    return isKept;
  }).length;
}

const range = (start: number, count: number): readonly number[] => Array.from({ length: count }, (_, at) => start + at);

test("kept images of a data set make room for those of a later one", () => {
  const cache = new ImageCache(10);
  expect([1, 2].map(() => readAll(cache, range(0, 10)))).toEqual([0, 10]);
  const reads = Array.from({ length: 9 }, () => readAll(cache, range(100, 10)));
  expect(reads.at(-1)).toBe(10);
  expect(readAll(cache, range(0, 10))).toBe(0);
});

test("a data set that exceeds the space of kept images keeps those that fit", () => {
  const cache = new ImageCache(10);
  expect([1, 2, 3, 4].map(() => readAll(cache, range(0, 20)))).toEqual([0, 10, 10, 10]);
  cache.add("large", { height: 1, width: 11, data: new Uint8Array(11) });
  expect(cache.get("large")).toBeUndefined();
  expect(readAll(cache, range(0, 20))).toBe(10);
});
