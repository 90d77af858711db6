/**
 * Judging by no more samples than settle it. Looks are taken at 512 samples drawn at random, then at 1,024, 2,048 and so on; one before the last
 * decides only where an interval of 99.73 % lies wholly on one side of the goal (Haybittle and Peto). Each such look makes a wrong decision
 * likelier by 0.27 % at most, so the last one is judged as if there had been none. When to look depends on nothing that was seen.
 */
import { isIndexed } from "../data/index.ts";
import { view } from "../data/indexed.ts";
import type { Dataset } from "../data/types.ts";
import { type Goal, judge, type Metric, type Task } from "../evaluate/index.ts";
import { earlyLevel } from "../evaluate/interval.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import { random } from "../tensor/random.ts";
import { joinRuns, type Rows } from "./holdout.ts";
import { PairedMetrics, type PairedMetricsOptions, type PairedResult } from "./paired-metrics.ts";

const firstLook = 512;

/** The samples that each look adds: one part where samples follow each other, where they are few, or where a figure of one takes all the others. */
function partsOf(test: Dataset, metric: Metric, seed: number): readonly Dataset[] {
  if (!isIndexed(test) || metric.gathered !== undefined || test.count <= firstLook) return [test];
  const order = random(seed, "looks").permutation(test.count);
  const parts: Dataset[] = [];
  for (let from = 0, to = firstLook; from < test.count; from = to, to = Math.min(2 * to, test.count))
    parts.push(view(test, test.name, order.slice(from, to).sort()));
  return parts;
}

/** A model beside its original on as many samples as settle a goal. */
export class Looks {
  readonly first: PairedMetrics;
  readonly #more: readonly Dataset[];
  readonly #model: Model;
  readonly #task: Pick<Task, "test" | "metric">;
  readonly #options: PairedMetricsOptions;
  readonly #context: Context;

  private constructor(
    first: PairedMetrics,
    more: readonly Dataset[],
    model: Model,
    task: Pick<Task, "test" | "metric">,
    options: PairedMetricsOptions,
    context: Context,
  ) {
    this.first = first;
    this.#more = more;
    this.#model = model;
    this.#task = task;
    this.#options = options;
    this.#context = context;
  }

  /**
   * @param measuring the context of the first look at the original.
   * @throws PithError E_DATA if the test part does not fit the model.
   */
  static async create(
    model: Model,
    task: Pick<Task, "test" | "metric">,
    options: PairedMetricsOptions,
    context: Context,
    measuring = context,
  ): Promise<Looks> {
    const [test = task.test, ...more] = partsOf(task.test, task.metric, context.seed);
    const first = await PairedMetrics.create(model, { ...task, test }, options, measuring);
    return new Looks(first, more, model, task, options, context);
  }

  /** Looks until the goal is settled; at all samples where there is none. */
  async compare(model: Model, goal: Goal | undefined): Promise<PairedResult> {
    let original: Rows = this.first.rows;
    let rows = await this.first.rowsOf(model);
    let metrics = this.first;
    const all = this.#task.test.count;
    for (const test of this.#more) {
      const early = metrics.beside(rows, earlyLevel);
      if (goal !== undefined && judge(early.comparison, goal).verdict !== "not shown") return early;
      const done = early.answers.given.length;
      const half = (test.count ?? 0) / 2;
      // What was said at the first look is not said again.
      const context = (before: number): Context => ({
        ...this.#context,
        log: (event) => (["batch", "one-class"].includes(event.id) ? undefined : this.#context.log(event)),
        progress: (ran) => this.#context.progress(Math.floor(done + before + ran / 2), all),
      });
      const on = (samples: Dataset, from: Context, known?: Rows): Promise<PairedMetrics> =>
        PairedMetrics.create(this.#model, { ...this.#task, test: samples }, this.#options, from, known);
      const added = await on(test, context(0));
      const candidate = await on(test, context(half), added.rows);
      rows = joinRuns(rows, await candidate.rowsOf(model));
      original = joinRuns(original, added.rows);
      metrics = await on(this.#task.test, context(0), original);
    }
    return metrics.beside(rows);
  }
}
