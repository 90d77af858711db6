/** Measures the original's metric on the test samples, and compares other models with it sample by sample. */
import { isIndexed, range, view } from "#batches";
import { counted, dataError, figureText, type Model, notFiniteHint } from "#ir";
import type { Context } from "#pass";
import type { Level } from "../../core/math/confidence-interval.ts";
import { measure } from "../../runtime/metrics/evaluate.ts";
import type { Task } from "../../runtime/metrics/metric.ts";
import { predictionRows, predictionsOf } from "../../runtime/metrics/predictions.ts";
import { type BatchChoice, type BatchNote, chooseBatch } from "../compare/batch-dependence.ts";
import { isMeaninglessByNaN } from "../compare/compare.ts";
import { defaultDrop, type Goal, judge } from "../compare/goal.ts";
import type { ValidationResult } from "../record/run-record.ts";
import { chanceSentence } from "../record/verdict.ts";
import { divideSamples, Holdout, type HoldoutComparison, joinRows, type Rows } from "./holdout.ts";

export interface PairedMetricsOptions {
  /** Samples per run (64, fewer for large inputs; one if outputs depend on the batch). */
  readonly batch?: number | undefined;
  readonly output?: string | undefined;
  /** Model whose predictions replace missing labels (default: the original). */
  readonly truth?: Model | undefined;
  readonly choice?: boolean | undefined;
  readonly level?: Level | undefined;
  /** Requested maximum drop (default: that of the metric), for the warning that a constant prediction meets the goal. */
  readonly maxDrop?: number | undefined;
}

export interface PairedResult extends HoldoutComparison, Pick<Rows, "invariance"> {
  readonly validation: HoldoutComparison | undefined;
}

type TestTask = Pick<Task, "test" | "metric">;

/** A goal without `maxDrop` has the default maximum drop. `stated` is true by default if `maxDrop` is present. */
export interface GoalOptions extends Omit<Goal, "maxDrop"> {
  readonly maxDrop?: number | undefined;
}

export class PairedMetrics {
  readonly holdout: Holdout;
  readonly validation: Holdout | undefined;
  readonly #truthModel: Model;
  readonly #task: TestTask;
  readonly #options: PairedMetricsOptions;
  readonly #context: Context;
  readonly rows: Rows;

  private constructor(truth: Model, task: TestTask, options: PairedMetricsOptions, context: Context, allRows: Rows) {
    this.rows = allRows;
    this.#truthModel = truth;
    this.#task = task;
    this.#options = options;
    this.#context = context;
    const count = isIndexed(task.test) ? task.test.count : allRows.answers.predicted.length;
    const division = options.choice === true ? divideSamples(count, !isIndexed(task.test)) : undefined;
    this.holdout = new Holdout(task.metric, allRows, division?.test ?? range(count));
    this.validation = division === undefined ? undefined : new Holdout(task.metric, allRows, division.validation);
  }

  /** @param knownRows earlier measurement of the model on these samples or more. @throws PithError E_DATA if the test split does not fit the model. */
  static async create(
    model: Model,
    task: TestTask,
    options: PairedMetricsOptions,
    context: Context,
    knownRows?: Rows,
  ): Promise<PairedMetrics> {
    const truth = options.truth ?? model;
    const rows = await rowsOf(model, truth, task, options, context, knownRows);
    logBatch(context, rows.batchNote);
    const metrics = new PairedMetrics(truth, task, options, context, rows);
    const detail = task.metric.detail?.(rows.metricRows);
    if (detail !== undefined) context.log({ id: "detail", text: `${task.metric.name}: ${detail}` });
    const text = metrics.holdout.oneClassWarning(metrics.#maxDrop(options.maxDrop));
    if (text !== undefined) context.log({ id: "one-class", text, level: "warning" });
    return metrics;
  }

  #maxDrop(requestedDrop: number | undefined): number {
    return requestedDrop ?? defaultDrop(this.#task.metric, this.original.comparison.original.value);
  }

  get original(): HoldoutComparison {
    return this.holdout.original;
  }

  get chance(): number | undefined {
    return this.holdout.knowledge?.chance;
  }

  /** Without labels, chance cannot be determined. */
  get isAboveChance(): boolean {
    const baseline = this.holdout.knowledge;
    return baseline === undefined || baseline.name === "agreement" || !baseline.atChance;
  }

  get chanceNote(): string | undefined {
    const baseline = this.holdout.knowledge;
    return baseline && !this.isAboveChance ? chanceSentence(baseline.original, baseline.chance) : undefined;
  }

  /** Returns undefined if nothing limits the drop. Training without labels can change predictions for the better, so it has no goal by default. */
  resolveGoal({ maxDrop, strict, stated = maxDrop !== undefined }: GoalOptions, trained: boolean): Goal | undefined {
    const { metric } = this.#task;
    const isOwnTruth = metric.truth === "original" && this.#options.truth === undefined;
    if (!this.isAboveChance || maxDrop === Number.POSITIVE_INFINITY || (maxDrop === undefined && trained && isOwnTruth))
      return undefined;
    return { maxDrop: this.#maxDrop(maxDrop), strict, ...(stated ? { stated } : {}) };
  }

  async compare(model: Model): Promise<PairedResult> {
    return this.compareRowsTo(await this.rowsOf(model));
  }

  async rowsOf(model: Model): Promise<Rows> {
    const rows = await rowsOf(model, this.#truthModel, this.#task, this.#options, this.#context);
    logBatch(this.#context, rows.batchNote, "the result");
    return rows;
  }

  compareRowsTo(rows: Rows, level = this.#options.level): PairedResult {
    return { ...this.holdout.compare(rows, level), validation: this.validation?.compare(rows, level) };
  }

  validate({ validation }: PairedResult, goal: Goal | undefined): ValidationResult | undefined {
    if (validation === undefined || this.validation === undefined) return undefined;
    const { comparison } = validation;
    return { comparison, verdict: goal === undefined ? undefined : judge(comparison, { maxDrop: goal.maxDrop }) };
  }

  /** Checks that the original's outputs make the metric meaningful. @throws PithError E_DATA if they are NaN. */
  requireAnswers(): void {
    const { metric } = this.#task;
    const original = this.original.comparison.original;
    const comparesWithOriginal = metric.truth === "original";
    if (
      !(comparesWithOriginal && this.#options.truth !== undefined) &&
      isMeaninglessByNaN(metric, original, this.rows.answers)
    ) {
      const value = `${metric.name}${comparesWithOriginal ? " with itself" : ""} is ${figureText(metric.unit, original.value)}`;
      throw dataError(
        `The original outputs NaN on some or all of ${counted(original.count, "sample")}: its ${value}. Nothing was done.`,
        { hint: [notFiniteHint, "`force` continues anyway."] },
      );
    }
  }

  /** At chance level, no drop can be measured. @throws PithError E_DATA. */
  requireAboveChance(): void {
    if (this.chanceNote === undefined) return;
    throw dataError(`${this.chanceNote} Nothing was done.`, {
      hint: ["Preprocessing, labels or model do not match.", "`force` continues anyway."],
    });
  }
}

/** @param subject the model in words; undefined for the original. */
export function logBatch({ log }: Pick<Context, "log">, batchNote: BatchNote | undefined, subject?: string): void {
  if (batchNote?.note === undefined) return;
  const text = subject === undefined ? batchNote.note : `${subject}: ${batchNote.note}`;
  log({ id: "batch", text, ...(batchNote.isWarning ? { level: "warning" } : {}) });
}

/** @param knownRows rows of some first samples, which are not run again. @param first number of samples of an indexed split (default: all). */
export async function rowsOf(
  model: Model,
  truth: Model,
  { test, metric }: TestTask,
  { batch: requestedBatch, output }: PairedMetricsOptions,
  context: Context,
  knownRows?: Rows,
  first = Number.POSITIVE_INFINITY,
): Promise<Rows> {
  const before = knownRows?.answers.predicted.length ?? 0;
  const count = isIndexed(test) ? Math.min(first, test.count) : before;
  if (knownRows !== undefined && before > 0 && before >= count) return knownRows;
  const positions = range(count - before).map((index) => before + index);
  const missingSamples = isIndexed(test) && positions.length < test.count ? view(test, test.name, positions) : test;
  const models = metric.truth === "original" && truth !== model ? [truth, model] : [model];
  const { engine, signal } = context;
  const {
    batch = knownRows?.batch,
    note,
    isWarning = false,
    invariance,
  }: Partial<BatchChoice> = knownRows?.batch === undefined
    ? await chooseBatch(engine, models, test, metric.name, { batch: requestedBatch, signal, output })
    : {};
  const modelRows = await measure(engine, models, missingSamples, [metric, predictionRows(output, metric)], {
    batch,
    signal,
    progress: (done, total) => context.progress(before + done, total && before + total),
    remembered: truth,
  });
  const [metricRows = new Float64Array(), columns = new Float64Array()] = modelRows.at(-1) ?? [];
  const measuredRows: Rows = {
    metricRows,
    answers: predictionsOf(columns),
    batchNote: note === undefined ? undefined : { note, isWarning },
    batch,
    invariance,
  };
  return knownRows === undefined ? measuredRows : joinRows(knownRows, measuredRows);
}
