/**
 * What a model says beside the original, on the same samples: the figure that counts, paired by sample; the answers; and whether it is still
 * the same function. The original runs once.
 *
 * Whatever figure counts, the function is judged by answers, where there are any (`baseline.ts`).
 */
import { type Dataset, isIndexed } from "../data/index.ts";
import { range } from "../data/indexed.ts";
import { PithError } from "../errors.ts";
import { answers } from "../evaluate/answers.ts";
import { type Knowledge, lostKnowledge } from "../evaluate/baseline.ts";
import {
  type Comparison,
  type Goal,
  judge,
  type Metric,
  measure,
  type Task,
  type Unit,
  type Verdict,
} from "../evaluate/index.ts";
import { allowance, change, figure, integer, unitOfChange } from "../evaluate/numbers.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import type { Choosing } from "../report/data.ts";
import { wouldShow } from "../report/verdict.ts";
import { type Compared, divide, Jury, type Rows } from "./jury.ts";

export interface FiguresOptions {
  /** Samples a run (64). */
  readonly batch?: number;
  /** The output that is the answer: "logits", else the first of floats. */
  readonly output?: string;
  readonly threads?: number;
  /** Several results will be chosen among: some samples are set aside to choose by, drawn by the context's seed, and judge nothing. */
  readonly choice?: boolean;
}

/** A model beside the original on the samples that judge; and where a choice is to be made, on those to choose by. */
export interface Figured extends Compared {
  readonly choosing: Compared | undefined;
}

/** Of a figure that is 1 for the original itself (cosine, overlap of boxes), less than this is another function. */
const leastLikeness = 0.5;

type Judged = Pick<Task, "test" | "metric">;

/** Measures one model after another against the same original on the same samples. */
export class Figures {
  /** The samples that judge. */
  readonly jury: Jury;
  /** The samples to choose by; undefined where there is no choice, or there are too few. */
  readonly choosing: Jury | undefined;
  readonly #model: Model;
  readonly #task: Judged;
  readonly #options: FiguresOptions;
  readonly #context: Context;

  private constructor(model: Model, task: Judged, options: FiguresOptions, context: Context, all: Rows) {
    this.#model = model;
    this.#task = task;
    this.#options = options;
    this.#context = context;
    const count = all.said.given.length;
    const divided = options.choice === true ? divide(count, context.seed, !isIndexed(task.test)) : undefined;
    this.jury = new Jury(task.metric, all, divided?.judging ?? range(count));
    this.choosing = divided === undefined ? undefined : new Jury(task.metric, all, divided.choosing);
  }

  /** @throws PithError E_DATA if the test part does not fit the model. */
  static async create(model: Model, task: Judged, options: FiguresOptions, context: Context): Promise<Figures> {
    const [found = nothing] = await rowsOf([model], task, options, context);
    return new Figures(model, task, options, context, found);
  }

  get original(): Compared {
    return this.jury.original;
  }

  /** What always giving the commonest answer would score; undefined for models that give no class. */
  get chance(): number | undefined {
    return this.jury.knowledge?.chance;
  }

  /** Whether the original is right more often than always giving the commonest answer would be, as far as labels tell. */
  get knowsSomething(): boolean {
    const known = this.jury.knowledge;
    return known === undefined || known.name === "agreement" || known.original > known.chance;
  }

  async compare(model: Model): Promise<Figured> {
    // What holds a model against the original's outputs needs these again.
    const held = this.#task.metric.truth === "original" ? [this.#model] : [];
    const all = await rowsOf([...held, model], this.#task, this.#options, this.#context);
    const found = all.at(-1) ?? nothing;
    return { ...this.jury.compare(found), choosing: this.choosing?.compare(found) };
  }

  /** What a model says on the samples to choose by. Those are few: of a goal the estimate counts, `strict` or not. */
  choose({ choosing }: Figured, goal: Goal | undefined): Choosing | undefined {
    if (choosing === undefined || this.choosing === undefined) return undefined;
    const { comparison } = choosing;
    return {
      comparison,
      verdict: goal === undefined ? undefined : judge(comparison, { maxDrop: goal.maxDrop }),
      lost: this.#lostTo(this.choosing.knowledge, choosing, false),
    };
  }

  /**
   * Only labels tell that: a model that answers all samples alike may be right.
   * @throws PithError E_DATA if the original knows nothing about the data: every figure would be noise.
   */
  requireKnowledge(): void {
    const known = this.jury.knowledge;
    if (known === undefined || this.knowsSomething) return;
    const [scored, guessed] = [known.original, known.chance].map((value) => figure("share", value));
    throw new PithError(
      "E_DATA",
      `The original scores ${scored}, and always giving the commonest answer would score ${guessed}: nothing was done.`,
      { hint: "Preprocessing, labels or model do not belong together." },
    );
  }

  /**
   * Why a model is no longer the same function; undefined while it is, or where that cannot be told.
   * @param trained the model may have to be another function, as one that learns from a teacher: then only labels tell a loss.
   */
  lost(compared: Pick<Compared, "comparison" | "answers">, trained = false): string | undefined {
    return this.#lostTo(this.jury.knowledge, compared, trained);
  }

  #lostTo(
    knowledge: Knowledge | undefined,
    { comparison, answers: said }: Pick<Compared, "comparison" | "answers">,
    trained: boolean,
  ): string | undefined {
    const { metric, unit, better, original, candidate } = comparison;
    // What differs in nothing has an infinite signal to noise, as the original itself.
    const infinite = !Number.isFinite(candidate.value) && candidate.value !== original.value;
    if (infinite) return `${metric} is ${candidate.value}`;
    if (trained && knowledge?.name !== "accuracy") return undefined;
    if (knowledge !== undefined) return lostKnowledge(knowledge, said);
    // Models that give no class: boxes, vectors.
    const likeness = this.#task.metric.truth === "original" && better === "higher" && original.value === 1;
    if (!likeness || candidate.high >= leastLikeness) return undefined;
    return `${metric} with the original is ${figure(unit, candidate.value)} (${integer(candidate.count)} samples)`;
  }
}

/** "accuracy fell by 2.0 points; 1.0 is allowed", and whether that may be luck: how a goal was missed, where so many samples were set aside to choose by. */
export function missedGoal(
  { metric, unit, better }: Comparison,
  { verdict, drop, samples }: Verdict,
  goal: Goal,
  choosing = 0,
): string {
  const direction = drop.value > 0 === (better === "higher") ? "fell" : "rose";
  const moved =
    drop.value === 0 ? `${metric} is unchanged` : `${metric} ${direction} by ${allowance(unit, Math.abs(drop.value))}`;
  const allowed = `${moved}; ${bare(unit, goal.maxDrop)} is allowed`;
  if (verdict !== "not shown") return allowed;
  const range = `true ${better === "higher" ? "drop" : "rise"} between ${bare(unit, drop.low)} and ${bare(unit, drop.high)}`;
  const more = samples === undefined ? "" : `: ${wouldShow(samples, drop.count, choosing)}`;
  const met = drop.value <= goal.maxDrop;
  const doubt = met ? "it is not shown to stay within" : "this may be luck";
  return `${allowed}. With ${integer(drop.count)} samples ${doubt} (${range})${more}`;
}

/** 1.0, −0.9: how large a difference is, without what it counts. */
function bare(unit: Unit, value: number): string {
  const text = change(unit, value).replace("+", "");
  return unitOfChange(unit) === "points" ? text : allowance(unit, value);
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
