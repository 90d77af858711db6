/**
 * Test samples, and validation samples. The best of several results owes some of its figure to luck, if it was chosen by that figure:
 * so results are chosen on the validation samples, and reported on the others.
 */
import { range } from "../data/indexed.ts";
import { agreement, type Comparison, compareRows, type Estimate, estimate, type Metric } from "../evaluate/index.ts";
import type { Level } from "../evaluate/interval.ts";
import { type Answers, type Knowledge, knowledgeOf, sameAnswers } from "../evaluate/predictions.ts";
import { joined } from "../tensor/dense.ts";
import { random } from "../tensor/random.ts";

/** What one run over all samples collected, by sample. */
export interface Rows {
  /** samples × columns of the metric. */
  readonly rows: Float64Array;
  readonly said: Answers;
}

export interface HoldoutComparison {
  readonly comparison: Comparison;
  /** Share of samples answered as the original answers them; undefined for models that give no class. */
  readonly agreement: Estimate | undefined;
  readonly answers: Answers;
}

const validationShare = 1 / 3;
/** Fewer say nothing: the choice is then made on the test samples. */
const leastValidation = 30;

export interface Division {
  readonly validation: Uint32Array;
  readonly test: Uint32Array;
}

/**
 * Validation samples, and the others: drawn by the seed, or the first ones where samples follow each other and neighbours are alike.
 * Undefined where there are too few.
 */
export function divide(count: number, seed: number, inOrder: boolean): Division | undefined {
  const validation = Math.floor(validationShare * count);
  if (validation < leastValidation) return undefined;
  const order = inOrder ? range(count) : random(seed, "choose").permutation(count);
  return { validation: order.slice(0, validation).sort(), test: order.slice(validation).sort() };
}

/** Some of the samples of a run of the original, and what other models say on them beside it. */
export class Holdout {
  /** Positions among all samples. */
  readonly samples: Uint32Array;
  readonly original: HoldoutComparison;
  readonly knowledge: Knowledge | undefined;
  readonly #metric: Metric;
  readonly #rows: Float64Array;

  constructor(metric: Metric, all: Rows, samples: Uint32Array) {
    this.#metric = metric;
    this.samples = samples;
    const { rows, said } = this.#of(all);
    this.#rows = rows;
    this.original = { comparison: compareRows(metric, rows, rows), agreement: agreementOf(said, said), answers: said };
    this.knowledge = knowledgeOf(said);
  }

  /** @param level how sure the interval of the difference is: 95 % unless said. */
  compare(all: Rows, level?: Level): HoldoutComparison {
    const { rows, said } = this.#of(all);
    return {
      comparison: compareRows(this.#metric, this.#rows, rows, level),
      agreement: agreementOf(this.original.answers, said),
      answers: said,
    };
  }

  #of({ rows, said }: Rows): Rows {
    return {
      rows: rowsAt(rows, this.#metric.columns, this.samples),
      said: { given: rowsAt(said.given, 1, this.samples), labels: rowsAt(said.labels, 1, this.samples) },
    };
  }
}

export function joinRuns(first: Rows, second: Rows): Rows {
  const { given, labels } = first.said;
  return {
    rows: joined(Float64Array, [first.rows, second.rows]),
    said: {
      given: joined(Float64Array, [given, second.said.given]),
      labels: joined(Float64Array, [labels, second.said.labels]),
    },
  };
}

/** @throws RangeError where one of the samples has no row. */
function rowsAt(rows: Float64Array, columns: number, samples: Uint32Array): Float64Array {
  const found = new Float64Array(columns * samples.length);
  samples.forEach((sample, place) => {
    const end = columns * (sample + 1);
    if (end > rows.length) throw new RangeError(`no row of sample ${sample} among ${rows.length / columns}`);
    found.set(rows.subarray(columns * sample, end), columns * place);
  });
  return found;
}

function agreementOf(original: Answers, other: Answers): Estimate | undefined {
  const same = sameAnswers(original, other);
  return same === undefined ? undefined : estimate(agreement(), same);
}
