import type { Batch } from "../tensor/types.ts";

export interface BatchOptions {
  readonly size: number;
  /** A seed: samples come in an order drawn from it. Absent: in order. */
  readonly shuffle?: number | undefined;
  /** Leave out a last batch that is not full. */
  readonly dropLast?: boolean;
  /** What is random in samples follows from this number; absent: from `shuffle`. */
  readonly epoch?: number | undefined;
}

/** Named tensors, sample by sample along axis 0. The inputs of a model are found by name; "label" (int64) is the class. */
export interface Dataset {
  readonly name: string;
  /** Number of samples, where it is known before reading. */
  readonly count: number | undefined;
  /** Names of the classes that "label" counts from 0, where they are known. */
  readonly classes?: readonly string[] | undefined;
  batches(options: BatchOptions): AsyncIterable<Batch>;
}

/** A data set whose samples can be had in any order: it can be shuffled, split and cut. */
export interface IndexedDataset extends Dataset {
  readonly count: number;
  /**
   * The samples at these positions, in this order, as one batch.
   * @param epoch What is random in samples follows from it.
   */
  gather(positions: Uint32Array, epoch?: number): Batch | Promise<Batch>;
}

/** The part of a data set that is asked for. Parts are disjoint. */
export type Part = "train" | "test";
