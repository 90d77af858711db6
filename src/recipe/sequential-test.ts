/**
 * Judging by no more samples than settle it. Looks are taken at 512 samples drawn at random, then at 1,024, 2,048 and so on; one before the last
 * decides only where an interval of 99.73 % lies wholly on one side of the goal (Haybittle and Peto). Each such look makes a wrong decision
 * likelier by 0.27 % at most, so the last one is judged as if there had been none. When to look depends on nothing that was seen.
 */
import { isIndexed } from "../data/index.ts";
import { view } from "../data/indexed.ts";
import type { Dataset } from "../data/types.ts";
import { type Goal, judge, type Metric, type Task } from "../evaluate/index.ts";
import { earlyLevel, type Level, usualLevel } from "../evaluate/interval.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import { random } from "../tensor/random.ts";
import { joinRuns, type Rows } from "./holdout.ts";
import { PairedMetrics, type PairedMetricsOptions, type PairedResult } from "./paired-metrics.ts";

const usualFirst = 512;

/** The samples that each look adds: one part where samples follow each other, where they are few, or where a figure of one takes all the others. */
function partsOf(test: Dataset, metric: Metric, seed: number, first: number): readonly Dataset[] {
  if (!isIndexed(test) || metric.gathered !== undefined || test.count <= first) return [test];
  const order = random(seed, "looks").permutation(test.count);
  const parts: Dataset[] = [];
  for (let from = 0, to = first; from < test.count; from = to, to = Math.min(2 * to, test.count))
    parts.push(view(test, test.name, order.slice(from, to).sort()));
  return parts;
}

/** Models beside their original, each on as many samples as settle what is asked of it. The original runs once on each sample. */
export class Looks {
  readonly first: PairedMetrics;
  /** What the original says on the samples that each further look adds, and on all until there. */
  readonly #original: { readonly added: Rows; readonly until: PairedMetrics }[] = [];
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
   * @param firstLook samples of the first look; each further one is at twice as many.
   * @throws PithError E_DATA if the test part does not fit the model.
   */
  static async create(
    model: Model,
    task: Pick<Task, "test" | "metric">,
    options: PairedMetricsOptions,
    context: Context,
    measuring = context,
    firstLook = usualFirst,
  ): Promise<Looks> {
    const [test = task.test, ...more] = partsOf(task.test, task.metric, context.seed, firstLook);
    const first = await PairedMetrics.create(model, { ...task, test }, options, measuring);
    return new Looks(first, more, model, task, options, context);
  }

  /** Looks until the goal is settled; at all samples where there is none. */
  async compare(model: Model, goal: Goal | undefined): Promise<PairedResult> {
    return this.look(
      model,
      ({ comparison }) => goal !== undefined && judge(comparison, goal).verdict !== "not shown",
      earlyLevel,
    );
  }

  /**
   * Looks until what was found is settled, or at all samples.
   * @param early how sure the intervals are before that: 95 % unless said.
   */
  async look(
    model: Model,
    isSettled: (found: PairedResult) => boolean,
    early: Level = usualLevel,
  ): Promise<PairedResult> {
    let rows = await this.first.rowsOf(model);
    let metrics = this.first;
    const all = this.#task.test.count;
    for (const [at, test] of this.#more.entries()) {
      const found = metrics.beside(rows, early);
      if (isSettled(found)) return found;
      const done = found.answers.given.length;
      // What was said at the first look is not said again.
      const context = (ran: (samples: number) => number): Context => ({
        ...this.#context,
        log: (event) => (["batch", "one-class"].includes(event.id) ? undefined : this.#context.log(event)),
        progress: (samples) => this.#context.progress(Math.floor(done + ran(samples)), all),
      });
      const on = (samples: Dataset, from: Context, known?: Rows): Promise<PairedMetrics> =>
        PairedMetrics.create(this.#model, { ...this.#task, test: samples }, this.#options, from, known);
      const known = this.#original[at];
      const half = known === undefined ? 2 : 1;
      const first = context((samples) => samples / 2);
      const added = known?.added ?? (await on(test, first)).rows;
      const until = known?.until ?? (await on(this.#task.test, first, joinRuns(metrics.rows, added)));
      this.#original[at] = { added, until };
      const second = context((samples) => ((half - 1) * (test.count ?? 0) + samples) / half);
      rows = joinRuns(rows, await (await on(test, second, added)).rowsOf(model));
      metrics = until;
    }
    return metrics.beside(rows);
  }
}
