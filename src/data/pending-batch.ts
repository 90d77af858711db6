/**
 * Batches before they are prepared: what was read, and what is to be done to it.
 *
 * What is done to a batch (decoding, resizing, normalizing, tokenizing, augmenting) follows from plain settings, the batch, and where its samples
 * stand, and from nothing else. So it may be done anywhere, in any order, with the same result: in another thread, or not at all where a
 * batch is left out.
 */
import type { Batch } from "../tensor/types.ts";
import { sampleCount } from "./rows.ts";
import type { BatchOptions, Dataset, IndexedDataset } from "./types.ts";

export interface Place {
  /** Their positions in the data set that is changed. */
  readonly samples: Uint32Array;
  /** Another number in each epoch. */
  readonly epoch: number;
}

/** What becomes of a batch: the same samples, prepared. */
export type BatchChange = (batch: Batch, place: Place) => Batch | Promise<Batch>;

/** A change that another thread can make as well: its kind, of those in `preparing.ts`, and its settings, which are plain data. */
export interface Portable {
  readonly kind: string;
  readonly settings: unknown;
}

export interface PlacedChange {
  readonly change: BatchChange;
  readonly place: Place;
  /** Undefined for what only this thread can do. */
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
/** @param skip Batches at the beginning that are left out. */
type Batches = (options: BatchOptions, skip: number) => AsyncIterable<PendingBatch>;

// Known by the functions that give finished batches: a data set made of another one, with a function of its own, gives what that function gives.
const gathers = new WeakMap<IndexedDataset["gather"], Gather>();
const batchesBefore = new WeakMap<Dataset["batches"], Batches>();

/** Makes known what the batches of a data set are before they are prepared. */
export function register<D extends Dataset>(dataset: D, batches: Batches): D {
  batchesBefore.set(dataset.batches, batches);
  return dataset;
}

/** Whether Pith made a data set, and it is not a user's own object. */
export const isRegistered = ({ batches }: Dataset): boolean => batchesBefore.has(batches);

export function registerGather(dataset: IndexedDataset, gather: Gather): void {
  gathers.set(dataset.gather, gather);
}

export const epochOf = ({ epoch, shuffle }: BatchOptions): number | undefined => epoch ?? shuffle;

/** The samples at some positions, as far as they can be left pending. */
export async function gatherPending(
  dataset: IndexedDataset,
  positions: Uint32Array,
  epoch?: number,
): Promise<PendingBatch> {
  const gather = gathers.get(dataset.gather);
  if (gather !== undefined) return gather(positions, epoch);
  return { batch: await dataset.gather(positions, epoch), changes: [] };
}

/** The batches of a data set, as far as they can be left pending, without the first `skip`, which are read only where they must be. */
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
  // Those that are left out are counted: where a sample stands follows from those before it.
  for await (const pending of pendingBatches(dataset, options)) {
    const first = before;
    const count = sampleCount(pending.batch, dataset.name);
    before += count;
    if (left-- > 0) continue;
    const samples = Uint32Array.from({ length: count }, (_, row) => first + row);
    yield withChange(pending, { change, place: { samples, epoch }, portable });
  }
}
