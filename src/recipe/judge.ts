/**
 * What a model is worth beside the original: its figures as it would be shipped, on the same samples.
 *
 * A model in the middle of a recipe may have masks in its graph. What is measured is what would be written: masks folded in, encoded,
 * opened again.
 */
import { cost } from "../analysis/cost.ts";
import { infer } from "../analysis/infer.ts";
import { bindInputs } from "../data/bind.ts";
import type { Dataset } from "../data/index.ts";
import { PithError } from "../errors.ts";
import {
  agreement,
  type Comparison,
  compareRows,
  type Estimate,
  estimate,
  type LatencyReport,
  latency,
  type Metric,
  measure,
  size,
  type Task,
} from "../evaluate/index.ts";
import type { Model } from "../graph/model.ts";
import { assertValid } from "../graph/verify.ts";
import { encodeToBytes, open } from "../onnx/index.ts";
import type { Context } from "../passes/index.ts";
import { isPruned, remove } from "../prune/index.ts";
import type { Disagreement, Measured } from "../report/data.ts";
import { figure } from "../report/numbers.ts";
import type { Batch } from "../tensor/types.ts";
import { type Answers, answers, commonestShare, sameAnswers } from "./answers.ts";

export interface JudgeOptions {
  /** What figures call the original. */
  readonly name: string;
  /** Samples a run (64). */
  readonly batch?: number;
  /** The output that is the answer: "logits", else the first of floats. */
  readonly output?: string;
  readonly threads?: number;
}

export interface Standing {
  readonly measured: Measured;
  readonly comparison: Comparison;
  readonly agreement: Estimate | undefined;
  readonly answers: Answers;
  /** The model's file. */
  readonly bytes: Uint8Array;
  /** The model in that file. */
  readonly model: Model;
}

/** A share that lost more than half of what it was above chance is not the same function any more. */
const lostShare = 0.5;

/** Disagreements that a report shows. */
const disagreementsKept = 10;

/** Measures one model after another against the same original on the same samples; the original runs once. */
export class Judge {
  readonly original: Standing;
  /** What always giving the commonest answer would score, where the metric is a share. */
  readonly chance: number | undefined;
  readonly #task: Task;
  readonly #options: JudgeOptions;
  readonly #context: Context;
  readonly #rows: Float64Array;

  private constructor(
    task: Task,
    options: JudgeOptions,
    context: Context,
    own: { readonly rows: Float64Array; readonly standing: Standing },
  ) {
    this.#task = task;
    this.#options = options;
    this.#context = context;
    this.#rows = own.rows;
    this.original = own.standing;
    this.chance = task.metric.interval === "proportion" ? commonestShare(own.standing.answers, task.metric) : undefined;
  }

  /** @throws PithError E_DATA if the test part does not fit the model. */
  static async create(original: Model, task: Task, options: JudgeOptions, context: Context): Promise<Judge> {
    const shipped = await ship(original);
    const [found] = await rowsOf([shipped.model], task, options, context);
    const { rows, said } = found ?? nothing;
    const comparison = compareRows(task.metric, rows, rows);
    const facts = await factsOf(shipped, options.name, task.test);
    const standing: Standing = {
      measured: { ...facts, estimate: comparison.original },
      comparison,
      agreement: agreementOf(said, said),
      answers: said,
      ...shipped,
    };
    return new Judge(task, options, context, { rows, standing });
  }

  async measure(model: Model, name: string): Promise<Standing> {
    const shipped = await ship(model);
    const facts = await factsOf(shipped, name, this.#task.test);
    // What holds a model against the original's outputs needs these again.
    const held = this.#task.metric.truth === "original" ? [this.original.model] : [];
    const found = (await rowsOf([...held, shipped.model], this.#task, this.#options, this.#context)).at(-1);
    const { rows, said } = found ?? nothing;
    const comparison = compareRows(this.#task.metric, this.#rows, rows);
    return {
      measured: { ...facts, estimate: comparison.candidate },
      comparison,
      agreement: agreementOf(this.original.answers, said),
      answers: said,
      ...shipped,
    };
  }

  /** Why a model is no longer the same function; undefined while it is, or where that cannot be told. */
  lost({ comparison }: Standing): string | undefined {
    const { metric, unit, original, candidate } = comparison;
    if (!Number.isFinite(candidate.value)) return `${metric} is ${candidate.value}`;
    const floor = this.chance;
    if (floor === undefined || original.value <= floor) return undefined;
    if (candidate.value - floor >= lostShare * (original.value - floor)) return undefined;
    const [before, after, chance] = [original.value, candidate.value, floor].map((value) => figure(unit, value));
    return `${metric} falls from ${before} to ${after} (n = ${candidate.count}; chance is ${chance})`;
  }

  /** The first samples that both answer differently. */
  disagreements({ answers: said }: Standing): readonly Disagreement[] {
    const { given, labels } = this.original.answers;
    const found: Disagreement[] = [];
    for (let sample = 0; sample < given.length && found.length < disagreementsKept; sample++) {
      const [original = -1, variant = -1, label = -1] = [given[sample], said.given[sample], labels[sample]];
      if (original !== variant) found.push({ sample, label: label < 0 ? undefined : label, original, variant });
    }
    return found;
  }

  /** Original and model timed in turns, on one sample (as many as the model fixes). */
  async time(model: Model, rounds: number): Promise<LatencyReport> {
    const feeds = await oneRun(this.original.model, this.#task.test);
    const { threads } = this.#options;
    return latency(this.#context.engine, [this.original.model, model], feeds.feeds, {
      rounds,
      signal: this.#context.signal,
      progress: (done, total) => this.#context.progress(done, total),
      ...(threads === undefined ? {} : { threads }),
    });
  }
}

/** A model as it would be written: masks folded in, its file, and what is in the file. The model itself stays as it is. */
async function ship(model: Model): Promise<{ readonly bytes: Uint8Array; readonly model: Model }> {
  const final = model.clone();
  if (isPruned(final)) await remove(final);
  assertValid(final);
  const bytes = await encodeToBytes(final);
  return { bytes, model: await open(bytes) };
}

interface Rows {
  readonly rows: Float64Array;
  readonly said: Answers;
}

const nothing: Rows = { rows: new Float64Array(), said: { given: new Float64Array(), labels: new Float64Array() } };

async function rowsOf(
  models: readonly Model[],
  task: Task,
  { batch = 64, output, threads }: JudgeOptions,
  context: Context,
): Promise<readonly Rows[]> {
  const metrics: readonly Metric[] = [task.metric, answers(output)];
  const measured = await measure(context.engine, models, task.test, metrics, {
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

async function factsOf(
  { bytes, model }: { readonly bytes: Uint8Array; readonly model: Model },
  name: string,
  samples: Dataset,
): Promise<Omit<Measured, "estimate">> {
  const weight = await size(bytes);
  const copy = model.clone();
  const { parameters, macs } = cost(copy, infer(copy));
  return {
    name,
    sha256: await sha256(bytes),
    bytes: weight.bytes,
    brotli: weight.brotli,
    parameters,
    macs:
      typeof macs === "number" ? macs / ((await oneRun(model, samples)).size ?? 1) : await macsOfOne(model, samples),
  };
}

/** The batch is the only dimension left open, mostly: with one sample in hand it can be filled in. */
async function macsOfOne(model: Model, samples: Dataset): Promise<number | undefined> {
  const { feeds } = await oneRun(model, samples);
  const copy = model.clone();
  for (const input of copy.graph.feeds) {
    const given = feeds[input.name];
    if (given !== undefined) input.type = { type: given.type, dims: given.dims };
  }
  for (const value of copy.graph.values()) if (value.producer !== undefined) value.type = undefined;
  const { macs } = cost(copy, infer(copy));
  return typeof macs === "number" ? macs : undefined;
}

/** What one run is fed with: the first sample, or as many as the model fixes. */
async function oneRun(
  model: Model,
  samples: Dataset,
): Promise<{ readonly feeds: Batch; readonly size: number | undefined }> {
  const first = await firstBatch(samples, 1);
  const { size } = bindInputs(model.graph.feeds, first, samples.name);
  const batch = size === undefined || size === 1 ? first : await firstBatch(samples, size);
  return { feeds: bindInputs(model.graph.feeds, batch, samples.name).feeds(batch), size };
}

async function firstBatch(samples: Dataset, size: number): Promise<Batch> {
  for await (const batch of samples.batches({ size })) return batch;
  throw new PithError("E_DATA", `${samples.name} has no samples.`);
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(bytes)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
