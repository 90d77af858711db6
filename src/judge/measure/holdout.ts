/** Compares models on the test samples, or on the validation samples, on which a result is chosen. */
import { range, testSeed } from "#batches";
import { allowance, counted, type Estimate, figureText, joinArrays, random } from "#ir";
import type { Level } from "../../core/math/confidence-interval.ts";
import { agreement } from "../../runtime/metrics/comparison-metrics.ts";
import { estimate } from "../../runtime/metrics/evaluate.ts";
import { lostFunctionText, type OriginalScore, originalScoreOf } from "../../runtime/metrics/lost-function.ts";
import type { Metric } from "../../runtime/metrics/metric.ts";
import { numbersAdvice } from "../../runtime/metrics/output.ts";
import { agreementFlags, type Predictions } from "../../runtime/metrics/predictions.ts";
import type { BatchInvariance, BatchNote } from "../compare/batch-dependence.ts";
import { compareRows } from "../compare/compare.ts";
import type { Comparison } from "../compare/goal.ts";

const validationShare = 1 / 3;
/** With fewer validation samples, the split is not divided. */
const minValidationSamples = 30;
export const minDividedSamples = minValidationSamples / validationShare;

/** Draws validation samples, or takes the first ones (`inOrder`). Undefined if there are too few samples. */
export function divideSamples(
  count: number,
  inOrder: boolean,
): { readonly validation: Uint32Array; readonly test: Uint32Array } | undefined {
  const validation = Math.floor(validationShare * count);
  if (validation < minValidationSamples) return undefined;
  const order = inOrder ? range(count) : random(testSeed, "choose").permutation(count);
  return { validation: order.slice(0, validation).sort(), test: order.slice(validation).sort() };
}

export interface Rows {
  /** Metric values, samples × columns. */
  readonly metricRows: Float64Array;
  readonly answers: Predictions;
  readonly batchNote?: BatchNote | undefined;
  readonly invariance?: BatchInvariance | undefined;
  /** Samples per run; undefined for rows of a record. */
  readonly batch?: number | undefined;
}

export interface HoldoutComparison {
  readonly comparison: Comparison;
  readonly agreement: Estimate | undefined;
  readonly answers: Predictions;
  /** Sentence about a model that lost most of the original's knowledge. */
  readonly lostKnowledge?: string | undefined;
}

/** For the conclusion that the model predicts only one class. */
const minSamplesOfClasses = 8;

export class Holdout {
  readonly samples: Uint32Array;
  readonly original: HoldoutComparison;
  readonly knowledge: OriginalScore | undefined;
  readonly #metric: Metric;
  readonly #rows: Float64Array;

  constructor(metric: Metric, allRows: Rows, samples: Uint32Array) {
    this.#metric = metric;
    this.samples = samples;
    const { metricRows, answers } = this.#select(allRows);
    this.#rows = metricRows;
    this.original = {
      comparison: compareRows(metric, metricRows, metricRows),
      agreement: agreementOf(answers, answers),
      answers,
    };
    this.knowledge = originalScoreOf(answers);
  }

  compare(allRows: Rows, level?: Level): HoldoutComparison {
    const { metricRows, answers } = this.#select(allRows);
    return {
      comparison: compareRows(this.#metric, this.#rows, metricRows, level),
      agreement: agreementOf(this.original.answers, answers),
      answers,
      lostKnowledge: this.#measuredKnowledge && lostFunctionText(this.#measuredKnowledge, answers),
    };
  }

  oneClassWarning(maxDrop: number): string | undefined {
    const knowledge = this.#measuredKnowledge;
    if (knowledge === undefined) return undefined;
    const { name, original, chance, predicted, atChance } = knowledge;
    if (predicted.length < minSamplesOfClasses || !Number.isFinite(maxDrop)) return undefined;
    const isLabelled = name === "accuracy";
    if (original - chance > maxDrop || (isLabelled && atChance)) return undefined;
    if (chance === 1)
      return `the original names the same class for all ${counted(predicted.length, "sample")}, so ${name} shows little: ${numbersAdvice}`;
    const constantText = `a model that always predicts one class would meet the goal (${name} ${figureText("share", chance)} on ${counted(predicted.length, "sample")}; ${allowance("share", maxDrop)} allowed)`;
    return `${constantText}: ${isLabelled ? '`metric: "f1"` counts rare classes as much as others' : "check the data and its preprocessing"}`;
  }

  get #measuredKnowledge(): OriginalScore | undefined {
    const { interval } = this.#metric;
    const agreesWithItself = interval === "proportion" && this.original.comparison.original.value === 1;
    return this.knowledge?.name === "accuracy" || agreesWithItself ? this.knowledge : undefined;
  }

  #select({ metricRows, answers }: Rows): Rows {
    return {
      metricRows: rowsAt(metricRows, this.#metric.columns, this.samples),
      answers: {
        predicted: rowsAt(answers.predicted, 1, this.samples),
        labels: rowsAt(answers.labels, 1, this.samples),
      },
    };
  }
}

export function joinRows(first: Rows, second: Rows): Rows {
  const { predicted, labels } = first.answers;
  return {
    batchNote: first.batchNote ?? second.batchNote,
    invariance: first.invariance ?? second.invariance,
    batch: first.batch ?? second.batch,
    metricRows: joinArrays(Float64Array, [first.metricRows, second.metricRows]),
    answers: {
      predicted: joinArrays(Float64Array, [predicted, second.answers.predicted]),
      labels: joinArrays(Float64Array, [labels, second.answers.labels]),
    },
  };
}

function rowsAt(rows: Float64Array, columns: number, samples: Uint32Array): Float64Array {
  const selectedRows = new Float64Array(columns * samples.length);
  samples.forEach((sample, index) => {
    const end = columns * (sample + 1);
    if (end > rows.length) throw new RangeError(`no row of sample ${sample} among ${rows.length / columns}`);
    selectedRows.set(rows.subarray(columns * sample, end), columns * index);
  });
  return selectedRows;
}

function agreementOf(original: Predictions, other: Predictions): Estimate | undefined {
  const sameRows = agreementFlags(original, other);
  return sameRows === undefined ? undefined : estimate(agreement(), sameRows);
}
