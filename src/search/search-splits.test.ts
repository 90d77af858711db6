import { expect, test } from "vitest";
import { float32 } from "../core/tensor/dense.ts";
import { memory } from "../data/index.ts";
import { firstLookSamples, splitForSearch } from "./search-splits.ts";

const splitOf = (count: number) =>
  memory("numbers", {
    x: float32(
      [count, 1],
      Float32Array.from({ length: count }, (_, at) => at),
    ),
  });

async function numbersOf({ search, test }: ReturnType<typeof splitForSearch>): Promise<readonly number[][]> {
  const all: number[][] = [];
  for (const part of [search, test]) {
    const indices: number[] = [];
    for await (const { x } of part.batches({ size: 512 })) indices.push(...Array.from(x?.data ?? [], Number));
    all.push(indices);
  }
  return all;
}

test("uses no sample for both the search and the test", async () => {
  const [search = [], judged = []] = await numbersOf(splitForSearch(splitOf(1001)));
  expect([search.length, judged.length]).toEqual([500, 501]);
  expect(new Set([...search, ...judged]).size).toBe(1001);
});

test("uses most of many samples for the test", async () => {
  const { search, test } = splitForSearch(splitOf(10_000));
  expect([search.count, test.count]).toEqual([2048, 7952]);
});

test("spreads the samples of the first look over all samples", async () => {
  const [search = []] = await numbersOf(splitForSearch(splitOf(10_000)));
  const of5 = Array.from({ length: 5 }, (_, fifth) =>
    search.slice(0, firstLookSamples).filter((number) => Math.floor(number / 2000) === fifth),
  );
  for (const { length } of of5) expect(length).toBeGreaterThan(30);
});

test("uses all of few samples for both the search and the test", () => {
  const { search, test, isApart } = splitForSearch(splitOf(199));
  expect([search.count, test.count, isApart]).toEqual([199, 199, false]);
});
