import type { Batch } from "../../core/tensor/types.ts";

export interface BatchOptions {
  readonly size: number;
  /** Seed of the sample order. Absent: in order. */
  readonly shuffle?: number | undefined;
  /** Leave out a last batch that is not full. */
  readonly dropLast?: boolean;
  /** Determines random changes of samples; default: `shuffle`. */
  readonly epoch?: number | undefined;
}

/** Named tensors with samples along axis 0. Model inputs are found by name; "label" (int64) is the class. */
export interface Dataset {
  readonly name: string;
  /** Number of samples, if known before reading. */
  readonly count: number | undefined;
  /** Names of the classes that "label" counts from 0, if known. */
  readonly classes?: readonly string[] | undefined;
  batches(options: BatchOptions): AsyncIterable<Batch>;
}

/** A data set with random access: it can be shuffled, split and cut. */
export interface IndexedDataset extends Dataset {
  readonly count: number;
  /**
   * Returns the samples at these positions, in this order, as one batch.
   * @param epoch Determines random changes of samples.
   */
  gather(positions: Uint32Array, epoch?: number): Batch | Promise<Batch>;
}

/** A split of a data set. Splits are disjoint. */
export type Part = "train" | "test";
