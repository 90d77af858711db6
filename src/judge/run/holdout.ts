/** Compares models on the validation samples, on which a result is chosen. The chosen value is biased. */
import type { Estimate } from "../../core/estimate.ts";
import type { Level } from "../../core/math/interval.ts";
import { joinArrays } from "../../core/tensor/dense.ts";
import { agreement } from "../../runtime/metrics/comparison-metrics.ts";
import { estimate } from "../../runtime/metrics/evaluate.ts";
import { type Answers, type Knowledge, knowledgeOf, sameAnswers } from "../../runtime/metrics/predictions.ts";
import type { Metric } from "../../runtime/metrics/types.ts";
import type { BatchNote } from "../compare/batch-dependence.ts";
import { compareRows } from "../compare/compare.ts";
import type { Comparison } from "../compare/goal.ts";

export interface Rows {
  /** Metric values, samples × columns. */
  readonly rows: Float64Array;
  readonly answers: Answers;
  readonly batchNote?: BatchNote | undefined;
}

export interface HoldoutComparison {
  readonly comparison: Comparison;
  readonly agreement: Estimate | undefined;
  readonly answers: Answers;
}

export class Holdout {
  readonly samples: Uint32Array;
  readonly original: HoldoutComparison;
  readonly knowledge: Knowledge | undefined;
  readonly #metric: Metric;
  readonly #rows: Float64Array;

  constructor(metric: Metric, allRows: Rows, samples: Uint32Array) {
    this.#metric = metric;
    this.samples = samples;
    const { rows, answers } = this.#select(allRows);
    this.#rows = rows;
    this.original = { comparison: compareRows(metric, rows, rows), agreement: agreementOf(answers, answers), answers };
    this.knowledge = knowledgeOf(answers);
  }

  compare(allRows: Rows, level?: Level): HoldoutComparison {
    const { rows, answers } = this.#select(allRows);
    return {
      comparison: compareRows(this.#metric, this.#rows, rows, level),
      agreement: agreementOf(this.original.answers, answers),
      answers,
    };
  }

  #select({ rows, answers }: Rows): Rows {
    return {
      rows: rowsAt(rows, this.#metric.columns, this.samples),
      answers: { given: rowsAt(answers.given, 1, this.samples), labels: rowsAt(answers.labels, 1, this.samples) },
    };
  }
}

export function joinRuns(first: Rows, second: Rows): Rows {
  const { given, labels } = first.answers;
  return {
    batchNote: first.batchNote ?? second.batchNote,
    rows: joinArrays(Float64Array, [first.rows, second.rows]),
    answers: {
      given: joinArrays(Float64Array, [given, second.answers.given]),
      labels: joinArrays(Float64Array, [labels, second.answers.labels]),
    },
  };
}

function rowsAt(rows: Float64Array, columns: number, samples: Uint32Array): Float64Array {
  const selected = new Float64Array(columns * samples.length);
  samples.forEach((sample, index) => {
    const end = columns * (sample + 1);
    if (end > rows.length) throw new RangeError(`no row of sample ${sample} among ${rows.length / columns}`);
    selected.set(rows.subarray(columns * sample, end), columns * index);
  });
  return selected;
}

function agreementOf(original: Answers, other: Answers): Estimate | undefined {
  const sameRows = sameAnswers(original, other);
  return sameRows === undefined ? undefined : estimate(agreement(), sameRows);
}
