/**
 * Creates datasets with random access: in memory, as subsets (`view`), and with a preparation such as image preprocessing (`mapBatches`). A
 * preparation depends on settings, batch and positions, so threads can prepare batches in any order (`feed.ts`).
 */
import { type Batch, optionError, random } from "#ir";
import type { BatchOptions, Dataset, IndexedDataset } from "./dataset.ts";
import { gatherRows, mapColumns, plainArrays, sampleCount } from "./rows.ts";

export interface BatchPosition {
  readonly samples: Uint32Array;
  readonly epoch: number;
}

/** The number and order of samples must stay the same. */
export type BatchChange = (batch: Batch, position: BatchPosition) => Batch | Promise<Batch>;

/** A preparation that another thread can apply: its kind in `preparing.ts`, and its settings as plain data. */
export interface PortableStep {
  readonly kind: string;
  readonly settings: unknown;
}

export interface PositionedChange {
  readonly change: BatchChange;
  readonly position: BatchPosition;
  /** The preparation for other threads; undefined if only this thread can apply it. */
  readonly portable: PortableStep | undefined;
}

/** A batch with the preparations that still have to be applied to it, in order. */
export interface PendingBatch {
  readonly batch: Batch;
  readonly changes: readonly PositionedChange[];
}

type GatherPending = (positions: Uint32Array, epoch?: number) => PendingBatch | Promise<PendingBatch>;
type StreamPending = (options: BatchOptions, skip: number) => AsyncIterable<PendingBatch>;

// If a user's dataset copies a dataset but replaces such a function, the new function is called.
const pendingGathers = new WeakMap<IndexedDataset["gather"], GatherPending>();
const pendingStreams = new WeakMap<Dataset["batches"], StreamPending>();

export function registerPendingBatches<D extends Dataset>(dataset: D, batches: StreamPending): D {
  pendingStreams.set(dataset.batches, batches);
  return dataset;
}

/** Returns whether the batches of a dataset come from `registerPendingBatches`. */
export const hasPendingBatches = ({ batches }: Dataset): boolean => pendingStreams.has(batches);

export async function completeBatch({ batch, changes }: PendingBatch): Promise<Batch> {
  let preparedBatch = batch;
  for (const { change, position } of changes) preparedBatch = await change(preparedBatch, position);
  return preparedBatch;
}

async function gatherPending(dataset: IndexedDataset, positions: Uint32Array, epoch?: number): Promise<PendingBatch> {
  const gather = pendingGathers.get(dataset.gather);
  return gather?.(positions, epoch) ?? { batch: await dataset.gather(positions, epoch), changes: [] };
}

/** Yields batches with pending preparations, without the first `skip` batches. */
export async function* pendingBatches(dataset: Dataset, options: BatchOptions, skip = 0): AsyncGenerator<PendingBatch> {
  const stream = pendingStreams.get(dataset.batches);
  if (stream !== undefined) {
    yield* stream(options, skip);
    return;
  }
  let skippedCount = 0;
  for await (const batch of dataset.batches(options)) if (skippedCount++ >= skip) yield { batch, changes: [] };
}

const epochOf = ({ epoch, shuffle }: BatchOptions): number | undefined => epoch ?? shuffle;

/** Creates a dataset from a function that reads samples by position. */
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
      for (const positions of positionsOf(options)) yield await gather(positions, epochOf(options));
    },
  };
  function* positionsOf({ size, shuffle, dropLast }: BatchOptions, skip = 0): Iterable<Uint32Array> {
    requireBatchSize(size, name);
    const order = shuffle === undefined ? undefined : random(shuffle, "shuffle").permutation(count);
    for (let start = skip * size; start < count; start += size) {
      const end = Math.min(start + size, count);
      if (end - start < size && dropLast === true) return;
      yield order?.subarray(start, end) ?? range(end - start, start);
    }
  }
  return registerPendingBatches(dataset, async function* (options, skip) {
    for (const positions of positionsOf(options, skip)) yield await gatherPending(dataset, positions, epochOf(options));
  });
}

function indexPending({ name, classes, synthetic }: Dataset, count: number, gather: GatherPending): IndexedDataset {
  const gatherComplete: IndexedDataset["gather"] = async (...request) => completeBatch(await gather(...request));
  pendingGathers.set(gatherComplete, gather);
  return { ...indexed(name, count, gatherComplete, classes), synthetic };
}

/**
 * Creates a dataset in memory from named tensors whose axis 0 counts samples.
 * @param classes Names of the classes for reports, in the order of the label values.
 * @throws PithError E_DATA if there are no columns, or if their numbers of samples differ.
 * @example
 * const data = memory("xor", {
 *   x: { type: "float32", dims: [4, 2], data: Float32Array.of(0, 0, 0, 1, 1, 0, 1, 1) },
 *   label: { type: "int64", dims: [4], data: BigInt64Array.of(0n, 1n, 1n, 0n) },
 * });
 * for await (const batch of data.batches({ size: 2, shuffle: 1 })) console.log(batch.x?.dims); // [2, 2], twice
 */
export function memory(name: string, columns: Batch, classes?: readonly string[]): IndexedDataset {
  const count = sampleCount(columns, name);
  const plainColumns = plainArrays(columns);
  return indexed(
    name,
    count,
    (positions) => mapColumns(plainColumns, (dense) => gatherRows(dense, positions)),
    classes,
  );
}

export function view(dataset: IndexedDataset, name: string, positions: Uint32Array): IndexedDataset {
  return indexPending({ ...dataset, name }, positions.length, (indices, epoch) =>
    gatherPending(
      dataset,
      indices.map((index) => positions[index] ?? 0),
      epoch,
    ),
  );
}

/** @param change keeps the number of samples. @param portable the change for other threads, if they can apply it. */
export function mapBatches(dataset: IndexedDataset, change: BatchChange, portable?: PortableStep): IndexedDataset;
export function mapBatches(dataset: Dataset, change: BatchChange, portable?: PortableStep): Dataset;
export function mapBatches(dataset: Dataset, change: BatchChange, portable?: PortableStep): Dataset {
  const addChange = ({ batch, changes }: PendingBatch, samples: Uint32Array, epoch = 0): PendingBatch => ({
    batch,
    changes: [...changes, { change, position: { samples, epoch }, portable }],
  });
  if (isIndexed(dataset))
    return indexPending(dataset, dataset.count, async (positions, epoch) =>
      addChange(await gatherPending(dataset, positions, epoch), positions, epoch),
    );
  const { name, count, classes, synthetic } = dataset;
  async function* pendingWithChange(options: BatchOptions, skip: number): AsyncGenerator<PendingBatch> {
    let [start, skipped] = [0, 0];
    // Skipped batches are read, because later positions depend on their sizes.
    for await (const batch of pendingBatches(dataset, options)) {
      const samples = range(sampleCount(batch.batch, name), start);
      start += samples.length;
      if (skipped++ >= skip) yield addChange(batch, samples, epochOf(options));
    }
  }
  const changedDataset: Dataset = {
    name,
    count,
    classes,
    synthetic,
    async *batches(options) {
      for await (const batch of pendingWithChange(options, 0)) yield await completeBatch(batch);
    },
  };
  return registerPendingBatches(changedDataset, pendingWithChange);
}

export function isIndexed(dataset: Dataset): dataset is IndexedDataset {
  return dataset.count !== undefined && "gather" in dataset && typeof dataset.gather === "function";
}

export function range(count: number, start = 0): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => start + index);
}

export function requireBatchSize(size: number, owner: string): void {
  if (!Number.isInteger(size) || size < 1) {
    throw optionError(`${owner}: the batch size must be a whole number of at least 1, got ${size}.`);
  }
}
