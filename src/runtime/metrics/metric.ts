/** A metric is rows per sample and a reduction, from which count, interval and paired comparison follow. */
import type { DetectionForm, OutputPart } from "#analysis";
import type { Dataset } from "#batches";
import type { Batch, Unit } from "#ir";
import type { ScoreForm } from "./output.ts";

export interface Metric {
  readonly name: string;
  readonly unit: Unit;
  readonly better: "higher" | "lower";
  /** Best possible value (default: 1 for shares if higher is better, 0 for other shares and nats). */
  readonly best?: number;
  /** Number of values per sample. */
  readonly columns: number;
  /** Reference of `rows`: the batch with its labels (default), or the original model's outputs. */
  readonly truth?: "labels" | "original";
  /** false if samples do not have one predicted class each. */
  readonly hasClasses?: false;
  /** Wilson's interval for rows of 0 and 1, Student's for a mean over one column; default: bootstrap. */
  readonly interval?: "proportion" | "mean";
  /** Whether a row is errors and trials, such as words. */
  readonly countsTrials?: true;
  /** Returns [samples, columns], row-major. `truth` is the batch or the original's outputs; `batch` is the input. */
  rows(outputs: Batch, truth: Batch, batch?: Batch): Float64Array;
  /** Creates a function like `rows` that remembers earlier batches, for means over the samples. */
  readonly createRows?: () => Metric["rows"];
  /** For values that depend on all samples (nearest neighbors): converts the collected results of `rows` to rows of `columns` values. */
  readonly gathered?: (collected: Float64Array, samples: number) => Float64Array;
  reduce(rows: Float64Array): number;
  /** Returns the name of the output's part that determines the value. */
  readonly worstPart?: (rows: Float64Array) => string | undefined;
  /** Returns details for reports, such as the number of boxes. */
  detail?(rows: Float64Array): string | undefined;
}

export interface MetricOptions {
  /** Output to evaluate; default: "logits", else the first float output, else the first. */
  readonly output?: string | undefined;
  /** Whether outputs are scores or probabilities (default: detected from the values of several classes, else scores). */
  readonly from?: ScoreForm;
  /** Form of outputs that are not one distribution over classes: independent labels, or boxes with scores. */
  readonly form?: "label sets" | DetectionForm | undefined;
  /** Number of elements per sample in the evaluated output, after the last axis whose size the model does not fix (default: 1). */
  readonly width?: number | undefined;
  /** Parts of the evaluated output, each with a value of R² and of signal to noise; the worst counts (default: one part). */
  readonly parts?: readonly OutputPart[] | undefined;
}

/** Disjoint training, calibration and test samples of a model, and its metric. */
export interface Task {
  readonly train?: Dataset;
  readonly calibrate?: Dataset;
  /** Text that the model generated, for steps that use no other samples. */
  readonly text?: Dataset | undefined;
  readonly test: Dataset;
  readonly metric: Metric;
  /** The test samples before preprocessing, for reports. */
  readonly shownSamples?: Dataset;
  /** How samples are prepared, in words. */
  readonly preprocessing?: string | undefined;
  /** Number of test samples in the data, if `test` has only a part of them. */
  readonly available?: number | undefined;
  /** Text in the metadata of models that are trained on these samples, which must not test them. */
  readonly trained?: string | undefined;
}
