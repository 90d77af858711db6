/**
 * What a model says beside the original, on the same samples: the figure that counts, paired by sample; the answers; and whether it is still
 * the same function. The original runs once.
 */
import type { Dataset } from "../data/index.ts";
import { PithError } from "../errors.ts";
import { commonestShare } from "../evaluate/chance.ts";
import {
  agreement,
  type Comparison,
  compareRows,
  type Estimate,
  estimate,
  type Goal,
  type Metric,
  measure,
  type Task,
  type Verdict,
} from "../evaluate/index.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import { allowance, figure } from "../report/numbers.ts";
import { type Answers, answers, sameAnswers } from "./answers.ts";

export interface FiguresOptions {
  /** Samples a run (64). */
  readonly batch?: number;
  /** The output that is the answer: "logits", else the first of floats. */
  readonly output?: string;
  readonly threads?: number;
}

export interface Compared {
  readonly comparison: Comparison;
  /** Share of samples answered as the original answers them; undefined for models that give no class. */
  readonly agreement: Estimate | undefined;
  readonly answers: Answers;
}

/** A share that lost more than half of what it was above chance is not the same function any more. */
const lostShare = 0.5;

type Judged = Pick<Task, "test" | "metric">;

/** Measures one model after another against the same original on the same samples. */
export class Figures {
  readonly original: Compared;
  /** What always giving the commonest answer would score, where the metric is a share of right answers. */
  readonly chance: number | undefined;
  readonly #model: Model;
  readonly #task: Judged;
  readonly #options: FiguresOptions;
  readonly #context: Context;
  readonly #rows: Float64Array;

  private constructor(model: Model, task: Judged, options: FiguresOptions, context: Context, { rows, said }: Rows) {
    this.#model = model;
    this.#task = task;
    this.#options = options;
    this.#context = context;
    this.#rows = rows;
    const comparison = compareRows(task.metric, rows, rows);
    this.original = { comparison, agreement: agreementOf(said, said), answers: said };
    const truth = task.metric.truth === "original" ? said.given : said.labels;
    this.chance = task.metric.interval === "proportion" ? commonestShare(truth) : undefined;
  }

  /** @throws PithError E_DATA if the test part does not fit the model. */
  static async create(model: Model, task: Judged, options: FiguresOptions, context: Context): Promise<Figures> {
    const [found = nothing] = await rowsOf([model], task, options, context);
    return new Figures(model, task, options, context, found);
  }

  async compare(model: Model): Promise<Compared> {
    // What holds a model against the original's outputs needs these again.
    const held = this.#task.metric.truth === "original" ? [this.#model] : [];
    const all = await rowsOf([...held, model], this.#task, this.#options, this.#context);
    const { rows, said } = all.at(-1) ?? nothing;
    return {
      comparison: compareRows(this.#task.metric, this.#rows, rows),
      agreement: agreementOf(this.original.answers, said),
      answers: said,
    };
  }

  /** @throws PithError E_DATA if the original knows nothing about the data: every figure would be noise. */
  requireKnowledge(): void {
    const { unit, original } = this.original.comparison;
    if (this.chance === undefined || original.value > this.chance) return;
    const [scored, guessed] = [original.value, this.chance].map((value) => figure(unit, value));
    throw new PithError(
      "E_DATA",
      `The original scores ${scored}, and always giving the commonest answer would score ${guessed}: nothing was done.`,
      { hint: "Preprocessing, labels or model do not belong together." },
    );
  }

  /** Why a model is no longer the same function; undefined while it is, or where that cannot be told. */
  lost({ metric, unit, original, candidate }: Comparison): string | undefined {
    if (!Number.isFinite(candidate.value)) return `${metric} is ${candidate.value}`;
    const floor = this.chance;
    if (floor === undefined || original.value <= floor) return undefined;
    if (candidate.value - floor >= lostShare * (original.value - floor)) return undefined;
    const [before, after, chance] = [original.value, candidate.value, floor].map((value) => figure(unit, value));
    return `${metric} falls from ${before} to ${after} (n = ${candidate.count}; chance is ${chance})`;
  }
}

/** "accuracy goes from 92.6 % to 90.0 %: more than the 1.0 points allowed": how a goal was missed. */
export function missedGoal({ metric, unit, original, candidate }: Comparison, { drop }: Verdict, goal: Goal): string {
  const [before, after] = [original.value, candidate.value].map((value) => figure(unit, value));
  const shown = drop.value <= goal.maxDrop ? "these samples do not show that it stays within" : "more than";
  return `${metric} goes from ${before} to ${after}: ${shown} the ${allowance(unit, goal.maxDrop)} allowed`;
}

interface Rows {
  readonly rows: Float64Array;
  readonly said: Answers;
}

const nothing: Rows = { rows: new Float64Array(), said: { given: new Float64Array(), labels: new Float64Array() } };

async function rowsOf(
  models: readonly Model[],
  { test, metric }: { readonly test: Dataset; readonly metric: Metric },
  { batch = 64, output, threads }: FiguresOptions,
  context: Context,
): Promise<readonly Rows[]> {
  const measured = await measure(context.engine, models, test, [metric, answers(output)], {
    batch,
    signal: context.signal,
    progress: (done, total) => context.progress(done, total),
    ...(threads === undefined ? {} : { threads }),
  });
  return measured.map(([rows = new Float64Array(), said = new Float64Array()]) => ({
    rows,
    said: { labels: said.filter((_, index) => index % 2 === 0), given: said.filter((_, index) => index % 2 === 1) },
  }));
}

function agreementOf(original: Answers, other: Answers): Estimate | undefined {
  const same = sameAnswers(original, other);
  return same === undefined ? undefined : estimate(agreement(), same);
}
