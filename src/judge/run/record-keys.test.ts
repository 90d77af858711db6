import { expect, test } from "vitest";
import { memory, range, view } from "../../data/batches/indexed.ts";
import { samplesKey } from "./record-keys.ts";

const rows = memory("rows", { x: { type: "float32", dims: [1000], data: Float32Array.from(range(1000)) } });
/** Describes data that is too large to hash. */
const samples = { name: "rows", count: 500, sha256: undefined };
const digest = (positions: readonly number[]): Promise<unknown> =>
  samplesKey(view(rows, "rows", Uint32Array.from(positions)), samples);

test("identifies each half of data that is too large to hash", async () => {
  const [first, second] = [0, 500].map((from) => [...range(500)].map((at) => from + at));
  const digestOfFirst = await digest(first ?? []);
  expect(await digest(second ?? [])).not.toEqual(digestOfFirst);
  expect(await digest(first ?? [])).toEqual(digestOfFirst);
});

test("identifies the same samples in another folder", async () => {
  const some = view(rows, "rows", Uint32Array.from(range(500)));
  const [here, there] = ["/here/rows", "/there/rows"].map((name) => samplesKey(some, { ...samples, name }));
  expect(await there).toEqual(await here);
});

test("identifies hashed data by its hash alone", async () => {
  expect(await samplesKey(rows, { name: "elsewhere", count: 1000, sha256: "abc" })).toBe("abc");
  expect(await samplesKey(undefined, undefined)).toBeUndefined();
});
