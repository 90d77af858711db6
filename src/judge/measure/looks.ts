/**
 * Decides with as few samples as possible. Interim looks use the first samples, then twice as many, and so on.
 *
 * An interim look at a goal decides if its 99.73 % interval is entirely on one side (Haybittle and Peto). These looks add little to the
 * probability of a wrong decision, so the last look, at all samples, uses an uncorrected interval. The sizes of looks do not depend on results.
 */
import { isIndexed, range, testSeed, view } from "#batches";
import { type Model, random } from "#ir";
import type { Context } from "#pass";
import { defaultLevel, earlyLevel, type Level } from "../../core/math/confidence-interval.ts";
import type { Task } from "../../runtime/metrics/metric.ts";
import { type Goal, judge } from "../compare/goal.ts";
import type { Rows } from "./holdout.ts";
import { logBatch, PairedMetrics, type PairedMetricsOptions, type PairedResult, rowsOf } from "./paired-metrics.ts";

type TestTask = Pick<Task, "test" | "metric">;

interface Look {
  readonly rows: Rows;
  readonly compared: PairedResult;
}

const defaultFirstLook = 512;
const allSamples = Number.POSITIVE_INFINITY;

export class Looks {
  readonly #model: Model;
  readonly #task: TestTask;
  readonly #options: PairedMetricsOptions;
  readonly #context: Context;
  /** Number of samples of each interim look. */
  readonly #interimLooks: readonly number[];
  readonly #originals = new Map<number, PairedMetrics>();
  #rows: Rows | undefined;

  /** @param task test samples in random order, unless `firstLook` covers all. @param knownRows the original's rows for the first samples, or all. */
  constructor(
    model: Model,
    task: TestTask,
    options: PairedMetricsOptions,
    context: Context,
    firstLook: number,
    knownRows?: Rows,
  ) {
    this.#model = model;
    this.#task = task;
    this.#options = options;
    this.#context = context;
    this.#rows = knownRows;
    this.#interimLooks = interimLookSizes(task, firstLook);
  }

  static drawSamples(
    model: Model,
    task: TestTask,
    options: PairedMetricsOptions,
    context: Context,
    firstLook = defaultFirstLook,
  ): Looks {
    const { test } = task;
    const interimLooks = interimLookSizes(task, firstLook);
    if (!isIndexed(test) || interimLooks.length === 0) return new Looks(model, task, options, context, allSamples);
    const order = random(testSeed, "looks").permutation(test.count);
    // Sorted, because files are read in order.
    for (const [look, from] of [0, ...interimLooks].entries()) order.subarray(from, interimLooks[look]).sort();
    return new Looks(model, { ...task, test: view(test, test.name, order) }, options, context, firstLook);
  }

  /** Looks at the same samples with other options. The original is not run again. */
  withOptions(options: PairedMetricsOptions, context: Context, firstLook = allSamples): Looks {
    return new Looks(this.#model, this.#task, options, context, firstLook, this.#rows);
  }

  /** @throws PithError E_DATA if the test split does not fit the model. */
  measureFirst(context = this.#context): Promise<PairedMetrics> {
    return this.#original(this.#interimLooks[0] ?? allSamples, context);
  }

  measureAll(): Promise<PairedMetrics> {
    return this.#original(allSamples, this.#context);
  }

  async compare(model: Model, goal: Goal | undefined): Promise<PairedResult> {
    // Few samples can contain no sample of a rare class, so that a model without it would agree.
    const needsAll = goal && (await this.measureFirst()).holdout.oneClassWarning(goal.maxDrop) !== undefined;
    const isSettled =
      goal === undefined || needsAll
        ? undefined
        : ({ comparison }: PairedResult) => judge(comparison, goal).verdict !== "undecided";
    const { rows, compared } = await this.look(model, isSettled, earlyLevel);
    logBatch(this.#context, rows.batchNote, "the result");
    return { ...compared, invariance: rows.invariance };
  }

  /**
   * Compares a model with the original on more and more samples until `isSettled` returns true. The number of samples does not depend on `knownRows`.
   * @param interimLevel confidence level of interim intervals. @param knownRows rows of the first samples or all, which are not run again.
   */
  async look(
    model: Model,
    isSettled: ((result: PairedResult) => boolean) | undefined,
    interimLevel: Level = defaultLevel,
    knownRows?: Rows,
  ): Promise<Look> {
    let rows = knownRows;
    const lookAt = async (samples: number, level?: Level): Promise<Look> => {
      const alreadyRun = this.#answered;
      const original = await this.#original(
        samples,
        this.#progress((done) => (alreadyRun + done) / 2),
      );
      const after = this.#answered;
      // If the original was run as well, its run was the first half of the progress.
      const progress = this.#progress((done) => (after > alreadyRun ? (after + done) / 2 : done));
      rows = await this.#rowsOf(model, samples, progress, rows);
      return { rows, compared: original.compareRowsTo(rows, level) };
    };
    for (const samples of isSettled === undefined ? [] : this.#interimLooks) {
      const look = await lookAt(samples, interimLevel);
      if (isSettled?.(look.compared) === true) return look;
    }
    return lookAt(allSamples);
  }

  get #answered(): number {
    return this.#rows?.answers.predicted.length ?? 0;
  }

  async #original(samples: number, context: Context): Promise<PairedMetrics> {
    const before = this.#originals.get(samples);
    if (before !== undefined) return before;
    this.#rows = await this.#rowsOf(this.#model, samples, context, this.#rows);
    const { test, metric } = this.#task;
    const firstSamples = isIndexed(test) && samples < test.count ? view(test, test.name, range(samples)) : test;
    // Later looks would log the same messages.
    const createContext = this.#originals.size === 0 ? context : { ...context, log: () => {} };
    const metrics = await PairedMetrics.create(
      this.#model,
      { metric, test: firstSamples },
      this.#options,
      createContext,
      this.#rows,
    );
    this.#originals.set(samples, metrics);
    return metrics;
  }

  #rowsOf(model: Model, samples: number, context: Context, knownRows: Rows | undefined): Promise<Rows> {
    return rowsOf(model, this.#options.truth ?? this.#model, this.#task, this.#options, context, knownRows, samples);
  }

  #progress(share: (done: number) => number): Context {
    const { count } = this.#task.test;
    return { ...this.#context, progress: (done) => this.#context.progress(Math.floor(share(done)), count) };
  }
}

function interimLookSizes({ test, metric }: TestTask, first: number): readonly number[] {
  if (!isIndexed(test) || metric.gathered !== undefined) return [];
  const looks: number[] = [];
  for (let samples = first; samples < test.count; samples *= 2) looks.push(samples);
  return looks;
}
