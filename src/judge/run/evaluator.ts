/** Measures models as they would be written (masks folded, encoded, reopened) relative to the original on the same samples. */
import { cost } from "../../core/analysis/cost.ts";
import { infer } from "../../core/analysis/infer.ts";
import { learnedCount, learnedTensors } from "../../core/analysis/learned.ts";
import { asPithError, PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { assertValid } from "../../core/graph/verify.ts";
import { earlyLevel } from "../../core/math/interval.ts";
import type { Context } from "../../core/pass/pass.ts";
import { isSymbolic } from "../../core/tensor/dims.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { fixInputs } from "../../rewrite/clean-up/fix-inputs.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { zeroShare } from "../../rewrite/edit/stored.ts";
import type { Task } from "../../runtime/metrics/types.ts";
import { secondsSince } from "../../runtime/run/elapsed.ts";
import { type OneRun, oneRun } from "../../runtime/run/feeding.ts";
import { type LatencyReport, latency } from "../../runtime/run/latency.ts";
import type { RunTarget } from "../../runtime/run/run-target.ts";
import { type CompressedSize, size } from "../../runtime/run/size.ts";
import { inputTexts, sequenceNames, timedFeeds, timedShapes } from "../../runtime/run/timed-inputs.ts";
import { isPruned, remove } from "../../techniques/prune/index.ts";
import type { BatchNote } from "../compare/batch-dependence.ts";
import { type Goal, judge } from "../compare/compare.ts";
import type { Disagreement, Measured, Timing } from "../record/data.ts";
import { recordOnce, type Store } from "../steps/store.ts";
import type { FigureRecords } from "./figure-records.ts";
import { plainFile } from "./improvement.ts";
import { Looks } from "./looks.ts";
import { type Purpose, sizeFor } from "./objective.ts";
import type { PairedMetrics, PairedMetricsOptions, PairedResult } from "./paired-metrics.ts";
import type { OriginalTime } from "./time-estimate.ts";

export interface EvaluatorOptions extends PairedMetricsOptions {
  readonly name: string;
  /** Tokens of a sequence for timing and for counting operations (128). */
  readonly length?: number | undefined;
  /**
   * Number of samples of the first interim look; each further look doubles it. Requires samples in random order. An interim look can only reject a
   * candidate that clearly misses the goal.
   */
  readonly firstLook?: number | undefined;
}

export interface Evaluation extends PairedResult {
  readonly measured: Measured;
  readonly batchNote?: BatchNote | undefined;
}

interface MeasuredOriginal {
  readonly evaluation: Evaluation;
  readonly metrics: PairedMetrics;
  readonly looks: Looks;
  /** Inputs of one run: one sample, or the model's fixed batch size; sequences have the timed length. */
  readonly run: OneRun;
  readonly options: PairedMetricsOptions;
  readonly context: Context;
  readonly figures: FigureRecords;
  readonly seconds: number;
}

const disagreementsKept = 10;

export class Evaluator {
  readonly #of: MeasuredOriginal;
  readonly #compressed = new Map<string, Promise<CompressedSize>>();

  private constructor(of: MeasuredOriginal) {
    this.#of = of;
  }

  static async create(
    figures: FigureRecords,
    task: Task,
    options: EvaluatorOptions,
    context: Context,
  ): Promise<Evaluator> {
    const { name, length, firstLook = Number.POSITIVE_INFINITY, ...rest } = options;
    const { store } = figures;
    const { digest, model } = await ship(store.original, store);
    const feeding = await oneRun(model, task.test);
    const run = { ...feeding, feeds: await withLength(context, model, feeding.feeds, length) };
    const record = await figures.found(digest);
    const started = performance.now();
    const looks = new Looks(model, task, rest, context, firstLook, record?.rows);
    const metrics = await looks.whole();
    const seconds = record?.seconds ?? secondsSince(started);
    const facts = record?.facts ?? (await factsOf(digest, store, run));
    if (record === undefined) await figures.keep({ facts, rows: metrics.rows, seconds });
    const measured = { name, ...facts, estimate: metrics.original.comparison.original };
    const evaluation = { measured, batchNote: metrics.rows.batchNote, ...metrics.original, validation: undefined };
    return new Evaluator({ evaluation, metrics, looks, run, options, context, figures, seconds });
  }

  get original(): Evaluation {
    return this.#of.evaluation;
  }

  get metrics(): PairedMetrics {
    return this.#of.metrics;
  }

  get output(): string | undefined {
    return this.#of.options.output;
  }

  open({ measured }: Evaluation): Promise<Model> {
    return this.#of.figures.store.open(measured.sha256);
  }

  /**
   * Adds the sizes after compression, each computed once per file. Compression takes seconds, so only files that are shown, or compared by these
   * sizes, need this call.
   */
  async sized<M extends Measured>(measured: M): Promise<M & CompressedSize> {
    const { store } = this.#of.figures;
    const { sha256 } = measured;
    const compress = async (): Promise<CompressedSize> => {
      const plain = await plainFile(await store.open(sha256));
      const { bytes: _, ...compressed } = await size(plain?.file ?? (await store.file(sha256)));
      return compressed;
    };
    const sizes = this.#compressed.get(sha256) ?? recordOnce(store.records, { compressed: sha256 }, compress);
    this.#compressed.set(sha256, sizes);
    return { ...measured, ...(await sizes) };
  }

  /** Compresses the file only if the download counts. */
  async sizeFor(purpose: Purpose | undefined, measured: Measured): Promise<number> {
    return sizeFor(purpose, purpose === "download" ? await this.sized(measured) : measured);
  }

  get took(): OriginalTime {
    return { seconds: this.#of.seconds, samples: this.metrics.rows.said.given.length };
  }

  /**
   * Measures a stored model. @param made digest of a step's output, which can have masks. @param goal if an interim look shows that the model misses
   * it, the other samples are skipped.
   */
  async measure(made: string, name: string, goal?: Goal): Promise<Evaluation> {
    const { store } = this.#of.figures;
    const { digest, model } = await ship(made, store);
    const record = await this.#of.figures.found(digest);
    const started = performance.now();
    const misses = goal && (({ comparison }: PairedResult) => judge(comparison, goal).drop.low > goal.maxDrop);
    const { rows, compared } = await this.#of.looks.look(model, misses, earlyLevel, record?.rows);
    const seconds = (record?.seconds ?? 0) + secondsSince(started);
    const facts = record?.facts ?? (await factsOf(digest, store, this.#of.run));
    if (rows !== record?.rows) await this.#of.figures.keep({ facts, rows, seconds });
    const measured = { name, ...facts, estimate: compared.comparison.candidate };
    return { measured, batchNote: rows.batchNote, ...compared };
  }

  isChanged({ measured }: Evaluation): boolean {
    return measured.sha256 !== this.original.measured.sha256;
  }

  /** Returns samples with different predictions, evenly spread because data may be sorted by class. */
  disagreements({ answers }: Evaluation): readonly Disagreement[] {
    const { given, labels } = this.original.answers;
    const differing = Array.from(given.keys()).filter((sample) => given[sample] !== answers.given[sample]);
    const step = Math.max(1, differing.length / disagreementsKept);
    return Array.from({ length: Math.min(differing.length, disagreementsKept) }, (_, place) => {
      const at = differing[Math.floor(place * step)] ?? 0;
      const [original = -1, variant = -1, label = -1] = [given[at], answers.given[at], labels[at]];
      const sample = this.metrics.holdout.samples[at] ?? at;
      return { sample, label: label < 0 ? undefined : label, original, variant };
    });
  }

  async time(
    evaluations: readonly Evaluation[],
    options: { readonly rounds: number; readonly target?: RunTarget | undefined },
  ): Promise<LatencyReport & Pick<Timing, "inputs" | "where">> {
    const [first = [], ...furtherChunks] = chunksOf(evaluations, ({ measured }) => measured.bytes, mostTimedTogether);
    const report = await this.#timeTogether(first, options);
    const models = [...report.models];
    for (const some of furtherChunks) models.push(...(await this.#timeTogether(some, options)).models.slice(1));
    return { ...report, models };
  }

  async #timeTogether(
    evaluations: readonly Evaluation[],
    { rounds, target }: { readonly rounds: number; readonly target?: RunTarget | undefined },
  ): Promise<LatencyReport & Pick<Timing, "inputs" | "where">> {
    const { engine, signal, progress } = this.#of.context;
    const { feeds } = this.#of.run;
    const all = await Promise.all([this.original, ...evaluations].map((evaluation) => this.open(evaluation)));
    const threads = this.#of.options.threads;
    const options = {
      rounds,
      signal,
      progress: (done: number, total?: number) => progress(done, total),
      threads,
    };
    const report =
      target === undefined
        ? await latency(engine, all, feeds, options)
        : await target.latency(
            all,
            all.map(() => feeds),
            options,
          );
    return { ...report, inputs: inputTexts(feeds), ...(target === undefined ? {} : { where: target.where }) };
  }
}

const mostTimedTogether = 2 ** 28;

function chunksOf<T>(all: readonly T[], sizeOf: (one: T) => number, most: number): readonly (readonly T[])[] {
  const chunks: T[][] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const item of all) {
    size += sizeOf(item);
    if (size > most) {
      chunks.push([]);
      size = sizeOf(item);
    }
    chunks.at(-1)?.push(item);
  }
  return chunks;
}

/** Returns the sample. If its inputs are token sequences, returns random inputs with the given number of tokens instead. */
async function withLength(
  { engine, seed }: Context,
  model: Model,
  sample: Batch,
  length: number | undefined,
): Promise<Batch> {
  const sequences = sequenceNames(model);
  if (sequences.size === 0) return sample;
  const sizes = new Map<string, number>();
  for (const { name, type } of model.graph.feeds)
    for (const [axis, dim] of (type?.dims ?? []).entries()) {
      const size = sample[name]?.dims[axis];
      if (isSymbolic(dim) && size !== undefined && !sequences.has(dim.text)) sizes.set(dim.text, size);
    }
  try {
    const [shapes = {}] = await timedShapes(engine, [model], {
      sizes,
      seed,
      length,
    });
    return timedFeeds(model, shapes, seed);
  } catch (error) {
    asPithError(error);
    return sample;
  }
}

interface Shipped {
  readonly digest: string;
  readonly model: Model;
}

async function ship(made: string, store: Store): Promise<Shipped> {
  const model = await store.open(made);
  if (!isPruned(model)) return { digest: made, model };
  await remove(model);
  assertValid(model);
  const digest = await store.keep(model);
  return { digest, model: await store.open(digest) };
}

async function factsOf(digest: string, store: Store, run: OneRun): Promise<Omit<Measured, "estimate" | "name">> {
  const model = await store.open(digest);
  const plain = await plainFile(model);
  storeWeights(model);
  const learned = await learnedTensors(model, infer(model));
  return {
    sha256: digest,
    bytes: (plain?.file ?? (await store.file(digest))).size,
    ...(plain === undefined ? {} : { metadata: plain.metadata }),
    parameters: learnedCount(learned),
    zeros: await zeroShare(learned.keys()),
    macs: macsOfOne(await store.open(digest), run),
  };
}

/** Counts multiply-accumulates per sample; undefined if they cannot be counted. Changes the model's input sizes to those of the run. */
export function macsOfOne(model: Model, { feeds, size: batch }: OneRun): number | undefined {
  try {
    fixInputs(model, Object.fromEntries(Object.entries(feeds).map(([name, { dims }]) => [name, dims])));
  } catch (error) {
    if (error instanceof PithError) return undefined;
    throw error;
  }
  const { macs } = cost(model, infer(model));
  return typeof macs === "number" ? macs / batch : undefined;
}
