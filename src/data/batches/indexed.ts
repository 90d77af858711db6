/** Data sets with random access: in memory, and views of them. */
import { PithError } from "../../core/errors.ts";
import { random } from "../../core/tensor/random.ts";
import type { Batch } from "../../core/tensor/types.ts";
import {
  type BatchChange,
  changedStream,
  completeBatch,
  epochOf,
  gatherPending,
  type PendingBatch,
  type Portable,
  register,
  registerGather,
  withChange,
} from "./pending-batch.ts";
import { gatherRows, mapColumns, plainArrays, sampleCount } from "./rows.ts";
import type { BatchOptions, Dataset, IndexedDataset } from "./types.ts";

/** Creates a data set from a function that fetches samples by position; batches, shuffling and views follow from it. */
export function indexed(
  name: string,
  count: number,
  gather: IndexedDataset["gather"],
  classes?: readonly string[],
): IndexedDataset {
  const dataset: IndexedDataset = {
    name,
    count,
    classes,
    gather,
    async *batches(options) {
      for (const positions of parts(options)) yield await gather(positions, epochOf(options));
    },
  };
  function* parts({ size, shuffle, dropLast }: BatchOptions, skip = 0): Iterable<Uint32Array> {
    requireSize(size, name);
    const order = shuffle === undefined ? undefined : random(shuffle, "shuffle").permutation(count);
    for (let start = skip * size; start < count; start += size) {
      const end = Math.min(start + size, count);
      const positions = order?.subarray(start, end) ?? range(end - start).map((at) => start + at);
      if (positions.length < size && dropLast === true) return;
      yield positions;
    }
  }
  return register(dataset, async function* (options, skip) {
    for (const positions of parts(options, skip)) yield await gatherPending(dataset, positions, epochOf(options));
  });
}

/** The same for samples that are available before preparation. */
function indexedUnfinished(
  name: string,
  count: number,
  gather: (positions: Uint32Array, epoch?: number) => Promise<PendingBatch>,
  classes: readonly string[] | undefined,
): IndexedDataset {
  const complete: IndexedDataset["gather"] = async (...place) => completeBatch(await gather(...place));
  const dataset = indexed(name, count, complete, classes);
  registerGather(dataset, gather);
  return dataset;
}

/**
 * A data set in memory: named tensors whose axis 0 counts samples. Elements keep their type until a batch is made.
 * @throws PithError E_DATA if there are no columns or their numbers of samples differ.
 * @example
 * const data = memory("xor", {
 *   x: { type: "float32", dims: [4, 2], data: Float32Array.of(0, 0, 0, 1, 1, 0, 1, 1) },
 *   label: { type: "int64", dims: [4], data: BigInt64Array.of(0n, 1n, 1n, 0n) },
 * });
 * for await (const batch of data.batches({ size: 2, shuffle: 1 })) console.log(batch.x?.dims); // [2, 2], twice
 * @param classes Names of the classes, in the order of their numbers, for reports.
 */
export function memory(name: string, columns: Batch, classes?: readonly string[]): IndexedDataset {
  const count = sampleCount(columns, name);
  const plain = plainArrays(columns);
  return indexed(name, count, (positions) => mapColumns(plain, (dense) => gatherRows(dense, positions)), classes);
}

export function view(dataset: IndexedDataset, name: string, positions: Uint32Array): IndexedDataset {
  const gather = (wanted: Uint32Array, epoch?: number): Promise<PendingBatch> =>
    gatherPending(
      dataset,
      wanted.map((at) => positions[at] ?? 0),
      epoch,
    );
  return indexedUnfinished(name, positions.length, gather, dataset.classes);
}

/** Maps batches; the number of samples must stay. @param portable how another thread can make the change, if it can. */
export function mapBatches(dataset: IndexedDataset, change: BatchChange, portable?: Portable): IndexedDataset;
export function mapBatches(dataset: Dataset, change: BatchChange, portable?: Portable): Dataset;
export function mapBatches(dataset: Dataset, change: BatchChange, portable?: Portable): Dataset {
  const { name, count, classes } = dataset;
  if (isIndexed(dataset)) {
    const gather = async (positions: Uint32Array, epoch?: number): Promise<PendingBatch> => {
      const place = { samples: positions, epoch: epoch ?? 0 };
      return withChange(await gatherPending(dataset, positions, epoch), { change, place, portable });
    };
    return indexedUnfinished(name, dataset.count, gather, classes);
  }
  const pending = (options: BatchOptions, skip: number): AsyncIterable<PendingBatch> =>
    changedStream(dataset, options, skip, change, portable);
  const changed: Dataset = {
    name,
    count,
    classes,
    async *batches(options) {
      for await (const one of pending(options, 0)) yield await completeBatch(one);
    },
  };
  return register(changed, pending);
}

export function isIndexed(dataset: Dataset): dataset is IndexedDataset {
  return dataset.count !== undefined && "gather" in dataset && typeof dataset.gather === "function";
}

export function range(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => index);
}

export function requireSize(size: number, owner: string): void {
  if (!Number.isInteger(size) || size < 1) {
    throw new PithError("E_OPTION", `${owner}: the batch size must be a whole number of at least 1, got ${size}.`);
  }
}
