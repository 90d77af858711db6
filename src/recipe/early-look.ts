/**
 * Some of the samples first: a result that misses the goal for certain there is not measured on the others. For certain is where an interval of 99.73 % lies wholly beyond
 * the goal, as in `sequential-test.ts`.
 */
import { isIndexed } from "../data/index.ts";
import { range, view } from "../data/indexed.ts";
import { type Goal, judge, type Task } from "../evaluate/index.ts";
import { earlyLevel } from "../evaluate/interval.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import { joinRuns, type Rows } from "./holdout.ts";
import { PairedMetrics, type PairedMetricsOptions, type PairedResult } from "./paired-metrics.ts";

interface Part {
  readonly first: PairedMetrics;
  readonly others: PairedMetrics;
  /** Numbers of a sample, of which the metric is made. */
  readonly columns: number;
}

export class EarlyLook {
  readonly #all: PairedMetrics;
  /** Undefined: all at once. */
  readonly #part: Part | undefined;

  private constructor(all: PairedMetrics, part: Part | undefined) {
    this.#all = all;
    this.#part = part;
  }

  /**
   * @param all the original on all samples.
   * @param samples of the first look, drawn at random: the first of the test samples.
   */
  static async create(
    model: Model,
    { test, metric }: Pick<Task, "test" | "metric">,
    options: PairedMetricsOptions,
    context: Context,
    all: PairedMetrics,
    samples: number | undefined,
  ): Promise<EarlyLook> {
    if (samples === undefined || !isIndexed(test) || metric.gathered !== undefined || samples >= test.count)
      return new EarlyLook(all, undefined);
    // What there is to say of the original is said.
    const silent: Context = { ...context, log: () => {} };
    const on = (from: number, to: number): Promise<PairedMetrics> => {
      const some = range(to - from).map((at) => from + at);
      const rows = rowsFrom(all.rows, metric.columns, from, to);
      return PairedMetrics.create(model, { metric, test: view(test, test.name, some) }, options, silent, rows);
    };
    return new EarlyLook(all, {
      first: await on(0, samples),
      others: await on(samples, test.count),
      columns: metric.columns,
    });
  }

  /**
   * What comes of it depends on the goal, and not on what is known.
   * @param known what the model said before, on the first samples or on all. @param goal undefined: all samples are measured.
   */
  async measure(
    model: Model,
    known: Rows | undefined,
    goal: Goal | undefined,
  ): Promise<{ readonly rows: Rows; readonly compared: PairedResult }> {
    if (this.#part === undefined) return this.#whole(known ?? (await this.#all.rowsOf(model)));
    const { first, others, columns } = this.#part;
    const rows = known ?? (await first.rowsOf(model));
    const count = first.rows.said.given.length;
    const own = rowsFrom(rows, columns, 0, count);
    if (goal !== undefined && judge(first.beside(own, earlyLevel).comparison, goal).drop.low > goal.maxDrop)
      return { rows, compared: first.beside(own) };
    return this.#whole(rows.said.given.length > count ? rows : joinRuns(rows, await others.rowsOf(model)));
  }

  #whole(rows: Rows): { readonly rows: Rows; readonly compared: PairedResult } {
    return { rows, compared: this.#all.beside(rows) };
  }
}

const rowsFrom = ({ rows, said: { labels, given } }: Rows, columns: number, from: number, to: number): Rows => ({
  rows: rows.subarray(columns * from, columns * to),
  said: { labels: labels.subarray(from, to), given: given.subarray(from, to) },
});
