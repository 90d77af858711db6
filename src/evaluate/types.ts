/** Measures: rows per sample and a reduction, so that count, interval and paired comparison come for free. */
import type { Dataset } from "../data/types.ts";
import type { Batch } from "../tensor/types.ts";

/** What a figure counts: a share of samples (0 to 1), decibels, nats; "" for a number without a unit. */
export type Unit = "share" | "dB" | "nats" | "";

export interface Metric {
  readonly name: string;
  readonly unit: Unit;
  readonly better: "higher" | "lower";
  /** The best figure there is; of shares it is 1, of nats 0. */
  readonly best?: number;
  /** Numbers per sample. */
  readonly columns: number;
  /** What `rows` holds the outputs against: the batch with its labels (default), or what the original model says to the same batch. */
  readonly truth?: "labels" | "original";
  /**
   * How the interval is found: Wilson's for rows of 0 and 1, the normal one for a mean over rows of one column.
   * Absent: by bootstrap, which any reduction allows.
   */
  readonly interval?: "proportion" | "mean";
  /**
   * samples × columns, row-major. `truth` is the batch, or the outputs of the original by the same names; `batch` is what was fed in any
   * case (the mask of a padded text).
   */
  rows(outputs: Batch, truth: Batch, batch?: Batch): Float64Array;
  /**
   * For figures of a sample that take all the others (its nearest neighbours): what `rows` collected over the whole data set, as rows of
   * `columns` numbers a sample.
   */
  readonly gathered?: (collected: Float64Array, samples: number) => Float64Array;
  reduce(rows: Float64Array): number;
  /** What a reader has to know of a figure beside its name: how many boxes it is about, and which count. */
  detail?(rows: Float64Array): string;
}

/** A figure with its interval and the number of samples behind it. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly count: number;
  /** How many of such intervals hold the true figure: 0.95; 0.9973 where a comparison ended before all samples were used. */
  readonly confidence: number;
}

/** Disjoint training, calibration and test samples of a model, and its metric. */
export interface Task {
  readonly train?: Dataset;
  readonly calibrate?: Dataset;
  readonly test: Dataset;
  readonly metric: Metric;
  /** What says in a model that trains on these samples that others are to test it (`data/trained-on.ts`). */
  readonly trained?: string | undefined;
}
