import { describe, expect, it } from "vitest";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { collect, type Dataset, memory, split, take } from "../index.ts";
import { contentHash } from "./content-hash.ts";
import { indexed, mapBatches } from "./indexed.ts";
import { copyArrays } from "./rows.ts";
import { keepInMemory, setAside, streamOf } from "./select.ts";

function numbered(count: number): Dataset & ReturnType<typeof memory> {
  return memory("numbers", {
    x: { type: "float32", dims: [count, 2], data: Float32Array.from({ length: 2 * count }, (_, index) => index) },
    label: { type: "int64", dims: [count], data: BigInt64Array.from({ length: count }, (_, index) => BigInt(index)) },
    text: { type: "string", dims: [count], data: Array.from({ length: count }, (_, index) => `t${index}`) },
  });
}

/** Returns the same samples as a stream. */
function stream(count: number): Dataset {
  const source = numbered(count);
  return { name: "stream", count: undefined, batches: (options) => source.batches(options) };
}

async function all(batches: AsyncIterable<Batch>): Promise<Batch[]> {
  const result: Batch[] = [];
  for await (const batch of batches) result.push(batch);
  return result;
}

function labels(batches: readonly Batch[]): number[] {
  return batches.flatMap((batch) => Array.from((batch.label as Dense<"int64">).data, Number));
}

describe("memory", () => {
  it("slices batches in order, with a shorter last batch", async () => {
    const batches = await all(numbered(5).batches({ size: 2 }));
    expect(batches.map((batch) => batch.x?.dims)).toEqual([
      [2, 2],
      [2, 2],
      [1, 2],
    ]);
    expect(Array.from(batches[1]?.x?.data as Float32Array)).toEqual([4, 5, 6, 7]);
    expect(batches[2]?.text?.data).toEqual(["t4"]);
  });

  it("drops only an incomplete last batch if dropLast is set", async () => {
    expect(labels(await all(numbered(5).batches({ size: 2, dropLast: true })))).toEqual([0, 1, 2, 3]);
    expect(labels(await all(numbered(4).batches({ size: 2, dropLast: true })))).toEqual([0, 1, 2, 3]);
  });

  it("shuffles samples by seed, with all columns in the same order", async () => {
    const first = await all(numbered(100).batches({ size: 7, shuffle: 3 }));
    const order = labels(first);
    expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, index) => index));
    expect(order).not.toEqual(order.toSorted((a, b) => a - b));
    expect(first.flatMap((batch) => Array.from(batch.x?.data as Float32Array))).toEqual(
      order.flatMap((at) => [2 * at, 2 * at + 1]),
    );
    expect(first.flatMap((batch) => [...(batch.text as Dense<"string">).data])).toEqual(order.map((at) => `t${at}`));
    expect(labels(await all(numbered(100).batches({ size: 50, shuffle: 3 })))).toEqual(order);
    expect(labels(await all(numbered(100).batches({ size: 7, shuffle: 4 })))).not.toEqual(order);
  });

  it("copies a Buffer column so that the copy shares no memory with it", async () => {
    const bytes = Buffer.from([1, 2, 3, 4]);
    const [batch] = await all(memory("m", { x: { type: "uint8", dims: [4, 1], data: bytes } }).batches({ size: 4 }));
    const copy = copyArrays(batch ?? {}).x;
    (copy?.data as Uint8Array)[0] = 9;
    expect([...bytes]).toEqual([1, 2, 3, 4]);
  });

  it("rejects columns with different numbers of samples, a scalar, and no columns", () => {
    const x: Dense = { type: "float32", dims: [2, 1], data: new Float32Array(2) };
    const label: Dense = { type: "int64", dims: [3], data: new BigInt64Array(3) };
    expect(() => memory("m", { x, label })).toThrow('m: "label" has 3 samples, "x" has 2.');
    expect(() => memory("m", { x: { type: "float32", dims: [], data: new Float32Array(1) } })).toThrow("single number");
    expect(() => memory("m", {})).toThrow("no tensors");
  });

  it("rejects a batch size that is not a positive integer", async () => {
    for (const size of [0, -1, 1.5, Number.NaN]) {
      await expect(all(numbered(3).batches({ size }))).rejects.toMatchObject({ code: "E_OPTION" });
    }
  });
});

describe("take", () => {
  it("returns the first samples of memory and of a stream, shuffled or not", async () => {
    expect(labels(await all(take(numbered(10), 3).batches({ size: 2 })))).toEqual([0, 1, 2]);
    expect(labels(await all(take(numbered(10), 3).batches({ size: 2, shuffle: 1 }))).toSorted()).toEqual([0, 1, 2]);
    expect(labels(await all(take(stream(10), 3).batches({ size: 2 })))).toEqual([0, 1, 2]);
    expect(labels(await all(take(stream(10), 3).batches({ size: 2, dropLast: true })))).toEqual([0, 1]);
    expect(take(numbered(2), 5).count).toBe(2);
    expect(await all(take(stream(10), 0).batches({ size: 2 }))).toEqual([]);
  });
});

describe("split", () => {
  it("splits into disjoint parts that cover all samples, reproducibly by seed", async () => {
    const parts = split(numbered(101), [0.7, 0.2, 0.1], 5);
    const labelsOfParts = await Promise.all(parts.map(async (part) => labels(await all(part.batches({ size: 10 })))));
    expect(parts.map((part) => part.count)).toEqual([71, 20, 10]);
    expect(labelsOfParts.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: 101 }, (_, index) => index));
    const again = split(numbered(101), [0.7, 0.2, 0.1], 5);
    expect(await Promise.all(again.map(contentHash))).toEqual(await Promise.all(parts.map(contentHash)));
    const other = split(numbered(101), [0.7, 0.2, 0.1], 6);
    expect(labels(await all((other[0] ?? numbered(1)).batches({ size: 200 })))).not.toEqual(labelsOfParts[0]);
  });

  it("omits samples if the fractions sum to less than 1, and rejects larger sums", () => {
    expect(split(numbered(10), [0.5, 0.2], 1).map((part) => part.count)).toEqual([5, 2]);
    expect(() => split(numbered(10), [0.8, 0.3], 1)).toThrow("sum to at most 1");
    expect(() => split(numbered(10), [-0.1], 1)).toThrow("at least 0");
  });

  it("rejects a stream that is not collected", async () => {
    expect(() => split(stream(10), [0.5], 1)).toThrow("is a stream");
    expect(split(await collect(stream(10)), [0.5], 1)[0]?.count).toBe(5);
  });
});

describe("collect", () => {
  it("joins batches, including texts, up to a limit", async () => {
    const collected = await collect(stream(600));
    expect(collected.count).toBe(600);
    expect(await contentHash(collected)).toBe(await contentHash(numbered(600)));
    expect((await collect(stream(600), 300)).count).toBe(300);
  });

  it("rejects an empty dataset, and batches with different shapes", async () => {
    await expect(collect(stream(0))).rejects.toThrow("no samples");
    const uneven: Dataset = {
      name: "uneven",
      count: undefined,
      async *batches() {
        yield { x: { type: "float32", dims: [1, 2], data: new Float32Array(2) } };
        yield { x: { type: "float32", dims: [1, 3], data: new Float32Array(3) } };
      },
    };
    await expect(collect(uneven)).rejects.toThrow("uneven has samples of different sizes");
  });
});

it("keeps the origin of synthetic samples, indexed or as a stream", async () => {
  const synthetic = "noise";
  for (const data of [
    { ...numbered(4), synthetic },
    { ...stream(4), synthetic },
  ]) {
    const { drawn, rest } = setAside(data, 1, 0);
    const derived = [streamOf(data), mapBatches(data, (batch) => batch), drawn, rest, await keepInMemory(data)];
    expect(derived.map((dataset) => dataset.synthetic)).toEqual(derived.map(() => synthetic));
  }
});

describe("contentHash", () => {
  it("depends on every element, type and column name, but not on the dataset name", async () => {
    const data = (value: number, name: string, type: "uint8" | "bool" = "uint8"): Dataset =>
      memory("a", { [name]: { type, dims: [2, 1], data: Uint8Array.of(1, value) } });
    const hash = await contentHash(data(2, "x"));
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(await contentHash({ ...data(2, "x"), name: "b" })).toBe(hash);
    expect(await contentHash(data(3, "x"))).not.toBe(hash);
    expect(await contentHash(data(2, "y"))).not.toBe(hash);
    expect(await contentHash(data(2, "x", "bool"))).not.toBe(hash);
  });

  it("is equal for samples generated on demand", async () => {
    const source = numbered(300);
    expect(await contentHash(indexed("lazy", 300, async (at) => source.gather(at)))).toBe(await contentHash(source));
  });
});
