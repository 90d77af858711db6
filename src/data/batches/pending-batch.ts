/** Batches with pending preparation, which depends only on settings, batch and positions, so any thread can do it in any order. */
import type { Batch } from "../../core/tensor/types.ts";
import { sampleCount } from "./rows.ts";
import type { BatchOptions, Dataset, IndexedDataset } from "./types.ts";

export interface Place {
  readonly samples: Uint32Array;
  readonly epoch: number;
}

/** Prepares a batch; the samples stay the same. */
export type BatchChange = (batch: Batch, place: Place) => Batch | Promise<Batch>;

/** A change that another thread can make: its kind in `preparing.ts` and its settings as plain data. */
export interface Portable {
  readonly kind: string;
  readonly settings: unknown;
}

export interface PlacedChange {
  readonly change: BatchChange;
  readonly place: Place;
  /** Undefined if only this thread can make the change. */
  readonly portable: Portable | undefined;
}

export interface PendingBatch {
  readonly batch: Batch;
  readonly changes: readonly PlacedChange[];
}

export async function completeBatch({ batch, changes }: PendingBatch): Promise<Batch> {
  let made = batch;
  for (const { change, place } of changes) made = await change(made, place);
  return made;
}

export function withChange({ batch, changes }: PendingBatch, next: PlacedChange): PendingBatch {
  return { batch, changes: [...changes, next] };
}

type Gather = (positions: Uint32Array, epoch?: number) => PendingBatch | Promise<PendingBatch>;
type Batches = (options: BatchOptions, skip: number) => AsyncIterable<PendingBatch>;

// Keyed by the public functions, so a data set that replaces a function is not bypassed.
const gathers = new WeakMap<IndexedDataset["gather"], Gather>();
const batchesBefore = new WeakMap<Dataset["batches"], Batches>();

export function register<D extends Dataset>(dataset: D, batches: Batches): D {
  batchesBefore.set(dataset.batches, batches);
  return dataset;
}

/** Returns whether Pith created a data set; false for a user's object. */
export const isRegistered = ({ batches }: Dataset): boolean => batchesBefore.has(batches);

export function registerGather(dataset: IndexedDataset, gather: Gather): void {
  gathers.set(dataset.gather, gather);
}

export const epochOf = ({ epoch, shuffle }: BatchOptions): number | undefined => epoch ?? shuffle;

export async function gatherPending(
  dataset: IndexedDataset,
  positions: Uint32Array,
  epoch?: number,
): Promise<PendingBatch> {
  const gather = gathers.get(dataset.gather);
  if (gather !== undefined) return gather(positions, epoch);
  return { batch: await dataset.gather(positions, epoch), changes: [] };
}

/** Yields batches with pending preparation without the first `skip`, which are read only if necessary. */
export async function* pendingBatches(dataset: Dataset, options: BatchOptions, skip = 0): AsyncGenerator<PendingBatch> {
  const own = batchesBefore.get(dataset.batches);
  if (own !== undefined) {
    yield* own(options, skip);
    return;
  }
  let left = skip;
  for await (const batch of dataset.batches(options)) if (left-- <= 0) yield { batch, changes: [] };
}

export async function* changedStream(
  dataset: Dataset,
  options: BatchOptions,
  skip: number,
  change: BatchChange,
  portable: Portable | undefined,
): AsyncGenerator<PendingBatch> {
  const epoch = epochOf(options) ?? 0;
  let [before, left] = [0, skip];
  // Skipped batches are counted, because positions follow from earlier batches.
  for await (const pending of pendingBatches(dataset, options)) {
    const first = before;
    const count = sampleCount(pending.batch, dataset.name);
    before += count;
    if (left-- > 0) continue;
    const samples = Uint32Array.from({ length: count }, (_, row) => first + row);
    yield withChange(pending, { change, place: { samples, epoch }, portable });
  }
}
