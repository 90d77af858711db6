/**
 * Judging by no more samples than settle it. Looks are taken at the first samples (512 unless said), at twice as many, and so on; one before the
 * last decides about a goal only where an interval of 99.73 % lies wholly on one side of the goal (Haybittle and Peto). Each such look makes a wrong decision
 * likelier by 0.27 % at most, so the last one is judged as if there had been none. When to look depends on nothing that was seen.
 */
import { isIndexed } from "../data/index.ts";
import { range, view } from "../data/indexed.ts";
import { type Goal, judge, type Task } from "../evaluate/index.ts";
import { earlyLevel, type Level, usualLevel } from "../evaluate/interval.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import { random } from "../tensor/random.ts";
import type { Rows } from "./holdout.ts";
import { PairedMetrics, type PairedMetricsOptions, type PairedResult, rowsOf } from "./paired-metrics.ts";

type Judged = Pick<Task, "test" | "metric">;

interface Look {
  /** What the model says on the samples of the look, or on more where more was known. */
  readonly rows: Rows;
  readonly compared: PairedResult;
}

const usualFirst = 512;
const all = Number.POSITIVE_INFINITY;

/** Models beside their original, each on as many samples as settle what is asked of it. The original runs once on each sample. */
export class Looks {
  readonly #model: Model;
  readonly #task: Judged;
  readonly #options: PairedMetricsOptions;
  readonly #context: Context;
  /** Samples of each look but the last: none where samples follow each other, where they are few, or where a figure of one takes all the others. */
  readonly #early: readonly number[];
  /** The original on the samples of a look, by their number. */
  readonly #originals = new Map<number, PairedMetrics>();
  #rows: Rows | undefined;

  /**
   * @param task its samples stand in random order, unless the only look is at all of them.
   * @param firstLook samples of the first look; each further one is at twice as many.
   * @param known what the original says on the first samples, or on all.
   */
  constructor(
    model: Model,
    task: Judged,
    options: PairedMetricsOptions,
    context: Context,
    firstLook: number,
    known?: Rows,
  ) {
    this.#model = model;
    this.#task = task;
    this.#options = options;
    this.#context = context;
    this.#rows = known;
    this.#early = earlyLooks(task, firstLook);
  }

  /** Looks at samples in whatever order: they are drawn by the context's seed. */
  static drawn(
    model: Model,
    task: Judged,
    options: PairedMetricsOptions,
    context: Context,
    firstLook = usualFirst,
  ): Looks {
    const { test } = task;
    const early = earlyLooks(task, firstLook);
    if (!isIndexed(test) || early.length === 0) return new Looks(model, task, options, context, all);
    const order = random(context.seed, "looks").permutation(test.count);
    // What is read of a file is read in its order.
    for (const [look, from] of [0, ...early].entries()) order.subarray(from, early[look]).sort();
    return new Looks(model, { ...task, test: view(test, test.name, order) }, options, context, firstLook);
  }

  /**
   * The original on the samples of the first look.
   * @throws PithError E_DATA if the test part does not fit the model.
   */
  first(context = this.#context): Promise<PairedMetrics> {
    return this.#original(this.#early[0] ?? all, context);
  }

  /** The original on all samples. */
  whole(): Promise<PairedMetrics> {
    return this.#original(all, this.#context);
  }

  /** Looks until the goal is settled; at all samples where there is none. */
  async compare(model: Model, goal: Goal | undefined): Promise<PairedResult> {
    const isSettled = goal && (({ comparison }: PairedResult) => judge(comparison, goal).verdict !== "not shown");
    return (await this.look(model, isSettled, earlyLevel)).compared;
  }

  /**
   * Looks until what was found is settled, or at all samples. It depends on nothing that is known.
   * @param isSettled undefined: nothing but all samples settles it.
   * @param early how sure the intervals are before that: 95 % unless said.
   * @param known what the model says on the first samples, or on all: it is not run on them again.
   */
  async look(
    model: Model,
    isSettled: ((found: PairedResult) => boolean) | undefined,
    early: Level = usualLevel,
    known?: Rows,
  ): Promise<Look> {
    let rows = known;
    const at = async (samples: number, level?: Level): Promise<Look> => {
      const before = this.#answered;
      const original = await this.#original(
        samples,
        this.#progress((done) => (before + done) / 2),
      );
      const after = this.#answered;
      // The original is half of the work where it runs, too.
      const progress = this.#progress((done) => (after > before ? (after + done) / 2 : done));
      rows = await this.#rowsOf(model, samples, progress, rows);
      return { rows, compared: original.beside(rows, level) };
    };
    for (const samples of isSettled === undefined ? [] : this.#early) {
      const found = await at(samples, early);
      if (isSettled?.(found.compared) === true) return found;
    }
    return at(all);
  }

  /** Samples that the original has answered. */
  get #answered(): number {
    return this.#rows?.said.given.length ?? 0;
  }

  async #original(samples: number, context: Context): Promise<PairedMetrics> {
    const before = this.#originals.get(samples);
    if (before !== undefined) return before;
    this.#rows = await this.#rowsOf(this.#model, samples, context, this.#rows);
    const { test, metric } = this.#task;
    const own = isIndexed(test) && samples < test.count ? view(test, test.name, range(samples)) : test;
    // What was said of the first ones is not said again.
    const telling = this.#originals.size === 0 ? context : { ...context, log: () => {} };
    const found = await PairedMetrics.create(this.#model, { metric, test: own }, this.#options, telling, this.#rows);
    this.#originals.set(samples, found);
    return found;
  }

  #rowsOf(model: Model, samples: number, context: Context, known: Rows | undefined): Promise<Rows> {
    return rowsOf(model, this.#options.truth ?? this.#model, this.#task, this.#options, context, known, samples);
  }

  #progress(share: (done: number) => number): Context {
    const { count } = this.#task.test;
    return { ...this.#context, progress: (done) => this.#context.progress(Math.floor(share(done)), count) };
  }
}

function earlyLooks({ test, metric }: Judged, first: number): readonly number[] {
  if (!isIndexed(test) || metric.gathered !== undefined) return [];
  const looks: number[] = [];
  for (let samples = first; samples < test.count; samples *= 2) looks.push(samples);
  return looks;
}
