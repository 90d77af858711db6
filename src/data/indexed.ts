/** Data sets whose samples can be had in any order: in memory, and views of them. */
import { PithError } from "../errors.ts";
import { random } from "../tensor/random.ts";
import type { Batch } from "../tensor/types.ts";
import { gatherRows, mapColumns, sampleCount } from "./rows.ts";
import type { Dataset, IndexedDataset } from "./types.ts";

/** A data set from a function that fetches samples by position: it gets batches, shuffling and views for free. */
export function indexed(name: string, count: number, gather: IndexedDataset["gather"]): IndexedDataset {
  return {
    name,
    count,
    gather,
    async *batches({ size, shuffle, dropLast }) {
      requireSize(size, name);
      const order = shuffle === undefined ? range(count) : random(shuffle, "shuffle").permutation(count);
      for (let start = 0; start < count; start += size) {
        const positions = order.subarray(start, start + size);
        if (positions.length < size && dropLast === true) return;
        yield await gather(positions, shuffle);
      }
    },
  };
}

/**
 * A data set in memory: named tensors whose axis 0 counts samples. Elements keep their type until a batch is made.
 * @throws PithError E_DATA if there are no columns or their numbers of samples differ.
 * @example
 * const data = memory("xor", {
 *   x: { type: "float32", dims: [4, 2], data: Float32Array.of(0, 0, 0, 1, 1, 0, 1, 1) },
 *   label: { type: "int64", dims: [4], data: BigInt64Array.of(0n, 1n, 1n, 0n) },
 * });
 * for await (const batch of data.batches({ size: 2, shuffle: 1 })) console.log(batch.x.dims); // [2, 2], twice
 */
export function memory(name: string, columns: Batch): IndexedDataset {
  const count = sampleCount(columns, name);
  return indexed(name, count, (positions) => mapColumns(columns, (dense) => gatherRows(dense, positions)));
}

/** The samples at some positions of a data set, as one of its own. */
export function view(dataset: IndexedDataset, name: string, positions: Uint32Array): IndexedDataset {
  return indexed(name, positions.length, (wanted, shuffle) =>
    dataset.gather(
      wanted.map((at) => positions[at] ?? 0),
      shuffle,
    ),
  );
}

/** What becomes of a batch: the same samples, prepared. */
export type BatchChange = (batch: Batch) => Batch | Promise<Batch>;

/** The same samples, each batch changed by a function that keeps their number. */
export function mapBatches(dataset: IndexedDataset, change: BatchChange): IndexedDataset;
export function mapBatches(dataset: Dataset, change: BatchChange): Dataset;
export function mapBatches(dataset: Dataset, change: BatchChange): Dataset {
  if (isIndexed(dataset)) {
    return indexed(dataset.name, dataset.count, async (positions, shuffle) =>
      change(await dataset.gather(positions, shuffle)),
    );
  }
  return {
    name: dataset.name,
    count: dataset.count,
    async *batches(options) {
      for await (const batch of dataset.batches(options)) yield await change(batch);
    },
  };
}

export function isIndexed(dataset: Dataset): dataset is IndexedDataset {
  return dataset.count !== undefined && "gather" in dataset && typeof dataset.gather === "function";
}

/** 0, 1, … count − 1. */
export function range(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => index);
}

export function requireSize(size: number, owner: string): void {
  if (!Number.isInteger(size) || size < 1) {
    throw new PithError("E_OPTION", `${owner}: the batch size must be a whole number of at least 1, got ${size}.`);
  }
}
