import { expect, test } from "vitest";
import { prefetched } from "./index.ts";

/** Numbers, and a diary of when each was asked for. */
async function* numbers(diary: string[], count: number, failAt = count): AsyncIterable<number> {
  try {
    for (let index = 0; index < count; index++) {
      diary.push(`read ${index}`);
      if (index === failAt) throw new Error(`broken at ${index}`);
      yield index;
    }
  } finally {
    diary.push("closed");
  }
}

test("the next batch is asked for before the one before it is used, in the same order", async () => {
  const diary: string[] = [];
  for await (const number of prefetched(numbers(diary, 3))) diary.push(`use ${number}`);
  expect(diary).toEqual(["read 0", "read 1", "use 0", "read 2", "use 1", "closed", "use 2"]);
});

test("whoever stops early closes the source", async () => {
  const diary: string[] = [];
  for await (const number of prefetched(numbers(diary, 9))) if (number === 1) break;
  expect(diary).toEqual(["read 0", "read 1", "read 2", "closed"]);
});

test("a failure comes where the batch would have come", async () => {
  const diary: string[] = [];
  const used: number[] = [];
  const run = async (): Promise<void> => {
    for await (const number of prefetched(numbers(diary, 9, 2))) used.push(number);
  };
  await expect(run()).rejects.toThrow("broken at 2");
  expect(used).toEqual([0, 1]);
});
