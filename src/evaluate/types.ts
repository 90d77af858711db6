/** Measures: rows per sample and a reduction, so that count, interval and paired comparison come for free. */
import type { Dataset } from "../data/types.ts";
import type { Batch } from "../tensor/types.ts";

export interface Metric {
  readonly name: string;
  readonly better: "higher" | "lower";
  /** Numbers per sample. */
  readonly columns: number;
  /** samples × columns, row-major. */
  rows(outputs: Batch, batch: Batch): Float64Array;
  reduce(rows: Float64Array): number;
}

/** A figure with its 95 % interval and the number of samples behind it. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly count: number;
}

/** What a model is for: disjoint parts to train on, to calibrate with, to judge by, and the figure that counts. */
export interface Task {
  readonly train?: Dataset;
  readonly calibrate?: Dataset;
  readonly test: Dataset;
  readonly metric: Metric;
}
