/** Tests that batches are read bit for bit as they were written, from memory and from disk. */
import { describe, expect, test } from "vitest";
import { scratchFile as inBrowser } from "../../core/platform/browser.ts";
import { type ScratchFile, scratchFile } from "../../core/platform/node.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { openStorage } from "./batch-store.ts";

/** Returns values that only a bitwise copy keeps: NaN with a payload, −0, the smallest positive float. */
function batchOf(first: number, count: number): Batch {
  const odd = new Float32Array(Uint32Array.of(0x7fc12345, 0x80000000, 1).buffer);
  const rows = Float32Array.from({ length: 3 * count }, (_, at) => first * 100 + at);
  rows.set(odd);
  return {
    x: float32([count, 3], rows),
    ids: int64(
      [count],
      Array.from({ length: count }, (_, at) => BigInt(first + at) * 2n ** 40n),
    ),
    half: { type: "float16", dims: [count, 1], data: Uint16Array.from({ length: count }, (_, at) => first + at) },
    text: { type: "string", dims: [count], data: Array.from({ length: count }, (_, at) => `${first + at}`) },
  };
}
const stored = [batchOf(0, 4), batchOf(4, 4), batchOf(8, 2)];
const bits = (batch: Batch) =>
  Object.entries(batch).map(([name, { type, dims, data }]) => [
    name,
    type,
    dims,
    data instanceof Float32Array ? new Uint32Array(data.slice().buffer) : data,
  ]);

function rowsOf(batch: { readonly x?: Dense | undefined } | undefined): Float32Array {
  if (batch?.x?.type !== "float32") throw new Error("no x");
  return batch.x.data;
}

async function collect(batches: AsyncIterable<Batch>): Promise<Batch[]> {
  const all: Batch[] = [];
  for await (const batch of batches) all.push(batch);
  return all;
}

/** Wraps scratch files and counts how often they are opened and closed. */
function counting(): {
  readonly open: () => Promise<ScratchFile>;
  readonly counts: { opened: number; closed: number };
} {
  const counts = { opened: 0, closed: 0 };
  const open = async (): Promise<ScratchFile> => {
    const file = await scratchFile();
    counts.opened++;
    const close = async (): Promise<void> => {
      counts.closed++;
      await file.close();
    };
    return { ...file, close };
  };
  return { open, counts };
}

describe.each([
  ["in memory", 1e9, 0],
  ["on disk", 0, 1],
  ["in both", 150, 1],
] as const)("a store %s", (_, memory, files) => {
  test("returns batches in order repeatedly, and samples in any order", async () => {
    const { open, counts } = counting();
    const storage = openStorage({ memory, file: open });
    const store = storage.store("values");
    for (const batch of stored) await store.add(batch);
    expect([store.count, store.columns]).toEqual([10, ["x", "ids", "half", "text"]]);
    for (let time = 0; time < 2; time++) expect((await collect(store.batches())).map(bits)).toEqual(stored.map(bits));
    expect((await collect(store.batches(["ids"]))).map(bits)).toEqual(
      stored.map(({ ids }) => bits(ids ? { ids } : {})),
    );
    const { ids, text, half, x } = await store.gather(Uint32Array.of(9, 0, 5, 5));
    expect(ids).toEqual(
      int64(
        [4],
        [9n, 0n, 5n, 5n].map((one) => one * 2n ** 40n),
      ),
    );
    expect(half?.data).toEqual(Uint16Array.of(9, 0, 5, 5));
    expect(text?.data).toEqual(["9", "0", "5", "5"]);
    expect(x?.dims).toEqual([4, 3]);
    const expected = new Float32Array(6);
    expected.set(rowsOf(stored[2]).subarray(3, 6));
    expected.set(rowsOf(stored[0]).subarray(0, 3), 3);
    expect(new Uint32Array(rowsOf({ x }).slice(0, 6).buffer)).toEqual(new Uint32Array(expected.buffer));
    expect((await store.gather(new Uint32Array())).x?.dims).toEqual([0, 3]);
    await storage.release();
    expect(counts).toEqual({ opened: files, closed: files });
  });
});

test("storage reuses memory that a store released", async () => {
  const { open, counts } = counting();
  const storage = openStorage({ memory: 100, file: open });
  for (let time = 0; time < 3; time++) {
    const store = storage.store("values");
    await store.add({ x: float32([5, 5], new Float32Array(25)) });
    await store.release();
    expect(store.count).toBe(0);
  }
  expect(counts.opened).toBe(0);
  for (const store of [storage.store("one"), storage.store("other")])
    await store.add({ x: float32([5, 5], new Float32Array(25)) });
  expect(counts.opened).toBe(1);
  await storage.release();
  expect(counts.closed).toBe(1);
});

test("a store of samples with several sizes returns whole batches only", async () => {
  const storage = openStorage({ memory: 0 });
  const store = storage.store("texts");
  const texts = [3, 5].map((length) => ({ x: float32([2, length], new Float32Array(2 * length).fill(length)) }));
  for (const batch of texts) await store.add(batch);
  expect(await collect(store.batches())).toEqual(texts);
  await expect(store.gather(Uint32Array.of(0, 2))).rejects.toMatchObject({
    code: "E_DATA",
    message: 'texts: "x" is float32[3] for one sample and float32[5] for another.',
  });
  await expect(store.gather(Uint32Array.of(4))).rejects.toMatchObject({ code: "E_DATA" });
  await expect(store.add({ x: float32([], [1]) })).rejects.toMatchObject({ code: "E_DATA" });
  await storage.release();
});

test("a store of packed elements returns whole batches only", async () => {
  const storage = openStorage({ memory: 0 });
  const store = storage.store("codes");
  await store.add({ x: { type: "int4", dims: [2, 3], data: Uint8Array.of(1, 2, 3) } });
  expect(await collect(store.batches())).toMatchObject([{ x: { data: Uint8Array.of(1, 2, 3) } }]);
  await expect(store.gather(Uint32Array.of(1))).rejects.toMatchObject({ code: "E_DATA" });
  await storage.release();
});

test("storage in a browser fails above the memory limit, with a hint", async () => {
  const storage = openStorage({ memory: 100, file: inBrowser });
  const store = storage.store("values");
  await store.add({ x: float32([5, 5], new Float32Array(25)) });
  await expect(store.add({ x: float32([1, 5], new Float32Array(5)) })).rejects.toMatchObject({
    code: "E_UNSUPPORTED",
    hint: expect.stringContaining("fewer samples"),
  });
  await storage.release();
});
