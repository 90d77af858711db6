/** The interface of datasets, which yield batches of samples. */
import type { Batch } from "#ir";

export interface BatchOptions {
  readonly size: number;
  /** The seed of the sample order. Without it, samples are in order. */
  readonly shuffle?: number | undefined;
  /** Whether to omit a last batch with fewer than `size` samples. */
  readonly dropLast?: boolean;
  /** The number of the epoch, which determines random augmentations; `shuffle` by default. */
  readonly epoch?: number | undefined;
}

/** Samples as batches of named tensors (columns), whose axis 0 counts samples. Columns are bound to inputs by name; "label" (int64) is the class. */
export interface Dataset {
  readonly name: string;
  /** The number of samples; undefined if it is unknown before reading. */
  readonly count: number | undefined;
  /** Names of the classes, which "label" numbers from 0, if known. */
  readonly classes?: readonly string[] | undefined;
  /** Origin of samples that Pith made: "text that the model generated". */
  readonly synthetic?: string | undefined;
  batches(options: BatchOptions): AsyncIterable<Batch>;
}

/** A dataset with random access, which can be shuffled and split. */
export interface IndexedDataset extends Dataset {
  readonly count: number;
  /** Returns the samples at these positions, in this order. @param epoch determines random augmentations. */
  gather(positions: Uint32Array, epoch?: number): Batch | Promise<Batch>;
}

/** A split of a dataset. Splits are disjoint. */
export type Part = "train" | "test";
