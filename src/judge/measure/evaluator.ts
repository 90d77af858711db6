/** Measures stored models as they would be written (pruning masks applied), and compares them with the original on the same samples. */
import { cost, infer } from "#analysis";
import { assertValid, getOrAdd, type Model, PithError } from "#ir";
import type { Context } from "#pass";
import { earlyLevel } from "../../core/math/confidence-interval.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { fixInputs } from "../../rewrite/edit/set-input-shapes.ts";
import type { Task } from "../../runtime/metrics/metric.ts";
import { secondsSince } from "../../runtime/run/elapsed.ts";
import { type OneRun, readOneRun } from "../../runtime/run/feeding.ts";
import { type LatencyReport, latency } from "../../runtime/run/latency.ts";
import { type CompressedSize, measureSize } from "../../runtime/run/model-size.ts";
import type { RunTarget } from "../../runtime/run/run-target.ts";
import { inputTexts } from "../../runtime/run/timed-inputs.ts";
import { isPruned, remove } from "../../techniques/prune/index.ts";
import type { BatchNote } from "../compare/batch-dependence.ts";
import { type Goal, judge } from "../compare/goal.ts";
import type { Disagreement, Measured, Timing } from "../record/run-record.ts";
import { recordOnce, type Store } from "../steps/store.ts";
import type { Rows } from "./holdout.ts";
import { Looks } from "./looks.ts";
import { modelSizeOf, plainFile } from "./model-size.ts";
import { type Purpose, sizeFor } from "./objective.ts";
import type { PairedMetrics, PairedMetricsOptions, PairedResult } from "./paired-metrics.ts";
import type { OriginalTime } from "./time-estimate.ts";

export interface MeasuredModel {
  readonly facts: Omit<Measured, "estimate" | "name">;
  readonly rows: Rows;
  readonly seconds: number;
}

interface MeasurementRecord extends Omit<MeasuredModel, "rows">, Pick<Rows, "batchNote"> {
  readonly rows: readonly number[];
  readonly given: readonly number[];
  readonly labels: readonly number[];
}

export class MeasurementRecords {
  readonly store: Store;
  readonly #metricInputs: unknown;

  constructor(store: Store, metricInputs: unknown) {
    this.store = store;
    this.#metricInputs = metricInputs;
  }

  async read(digest: string): Promise<MeasuredModel | undefined> {
    const record = (await this.store.records?.read(this.#key(digest))) as MeasurementRecord | undefined;
    if (record === undefined) return undefined;
    const { facts, seconds, rows, given, labels, batchNote } = record;
    const answers = { predicted: Float64Array.from(given), labels: Float64Array.from(labels) };
    return { facts, seconds, rows: { metricRows: Float64Array.from(rows), answers, batchNote } };
  }

  async keep({ facts, seconds, rows: { metricRows, answers, batchNote } }: MeasuredModel): Promise<void> {
    const [predictions, labels] = [[...answers.predicted], [...answers.labels]];
    const record: MeasurementRecord = { facts, seconds, rows: [...metricRows], given: predictions, labels, batchNote };
    await this.store.records?.write(this.#key(facts.sha256), record);
  }

  #key(digest: string): unknown {
    return { model: digest, judging: this.#metricInputs };
  }
}

export interface EvaluatorOptions extends PairedMetricsOptions {
  readonly name: string;
  /** Number of samples of the first interim look (default: none). Looks only reject clear misses. */
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
  readonly run: OneRun;
  readonly options: EvaluatorOptions;
  readonly context: Context;
  readonly figures: MeasurementRecords;
  readonly seconds: number;
  readonly sizes: Map<string, Promise<CompressedSize>>;
}

const maxDisagreements = 10;

/** By hash. Runs of several recipes on one model share the sizes of the original. */
const finishedSizes = new Map<string, CompressedSize>();

export class Evaluator {
  readonly #measured: MeasuredOriginal;

  private constructor(measuredOriginal: MeasuredOriginal) {
    this.#measured = measuredOriginal;
  }

  static async create(
    figures: MeasurementRecords,
    task: Task,
    options: EvaluatorOptions,
    context: Context,
  ): Promise<Evaluator> {
    const { store } = figures;
    const { digest, model } = await storeWithoutMasks(store.original, store);
    const run = await readOneRun(model, task.test);
    const record = await figures.read(digest);
    const startTime = performance.now();
    const looks = new Looks(model, task, options, context, options.firstLook ?? Number.POSITIVE_INFINITY, record?.rows);
    const metrics = await looks.measureAll();
    const seconds = record?.seconds ?? secondsSince(startTime);
    const facts = record?.facts ?? (await factsOf(digest, store, run));
    if (record === undefined) await figures.keep({ facts, rows: metrics.rows, seconds });
    const evaluation = evaluationOf(options, facts, metrics);
    return new Evaluator({ evaluation, metrics, looks, run, options, context, figures, seconds, sizes: new Map() });
  }

  get original(): Evaluation {
    return this.#measured.evaluation;
  }

  get metrics(): PairedMetrics {
    return this.#measured.metrics;
  }

  get output(): string | undefined {
    return this.#measured.options.output;
  }

  get options(): EvaluatorOptions {
    return this.#measured.options;
  }

  async withOptions(options: EvaluatorOptions, context: Context): Promise<Evaluator> {
    const looks = this.#measured.looks.withOptions(options, context, options.firstLook);
    const metrics = await looks.measureAll();
    const evaluation = evaluationOf(options, this.original.measured, metrics);
    return new Evaluator({ ...this.#measured, evaluation, metrics, looks, options, context });
  }

  /** Returns an evaluator that reserves validation samples. */
  async reserveValidation(): Promise<Evaluator> {
    const { options, context } = this.#measured;
    if (this.metrics.validation !== undefined) return this;
    return this.withOptions({ ...options, choice: true }, { ...context, log: () => {} });
  }

  open({ measured }: Evaluation): Promise<Model> {
    return this.#measured.figures.store.open(measured.sha256);
  }

  /** Takes seconds, so call it only for files that are shown or compared by these sizes. */
  async withCompressedSizes<M extends Measured>(measurement: M): Promise<M & CompressedSize> {
    const { store } = this.#measured.figures;
    const { sha256 } = measurement;
    const compress = async (): Promise<CompressedSize> => {
      const { files } = await plainFile(await store.open(sha256), [await store.file(sha256)]);
      const { bytes: _, ...compressed } = await measureSize(files, this.#measured.context.signal);
      return compressed;
    };
    const sizes = await getOrAdd(
      this.#measured.sizes,
      sha256,
      async () => finishedSizes.get(sha256) ?? recordOnce(store.records, { compressed: sha256 }, compress),
    );
    finishedSizes.set(sha256, sizes);
    return { ...measurement, ...sizes };
  }

  /** Compresses the file only if its download size counts. */
  async sizeFor(purpose: Purpose | undefined, measurement: Measured): Promise<number> {
    return sizeFor(purpose, purpose === "download" ? await this.withCompressedSizes(measurement) : measurement);
  }

  get originalTime(): OriginalTime {
    return { seconds: this.#measured.seconds, samples: this.metrics.rows.answers.predicted.length };
  }

  /** @param digestBefore a step's output, which can have masks. @param goal an interim look that misses it ends the measurement. */
  async measure(digestBefore: string, name: string, goal?: Goal): Promise<Evaluation> {
    const { store } = this.#measured.figures;
    const { digest, model } = await storeWithoutMasks(digestBefore, store);
    const record = await this.#measured.figures.read(digest);
    const startTime = performance.now();
    const missesGoal = goal && (({ comparison }: PairedResult) => judge(comparison, goal).drop.low > goal.maxDrop);
    const { rows, compared } = await this.#measured.looks.look(model, missesGoal, earlyLevel, record?.rows);
    const seconds = (record?.seconds ?? 0) + secondsSince(startTime);
    const facts = record?.facts ?? (await factsOf(digest, store, this.#measured.run));
    if (rows !== record?.rows) await this.#measured.figures.keep({ facts, rows, seconds });
    const measured = { name, ...facts, estimate: compared.comparison.candidate };
    return { measured, batchNote: rows.batchNote, ...compared };
  }

  isChanged({ measured }: Evaluation): boolean {
    return measured.sha256 !== this.original.measured.sha256;
  }

  /** Returns samples with other predictions than the original's, evenly spread, because data can be sorted by class. */
  findDisagreements({ answers }: Evaluation): readonly Disagreement[] {
    const { predicted, labels } = this.original.answers;
    const differing = Array.from(predicted.keys()).filter((sample) => predicted[sample] !== answers.predicted[sample]);
    const step = Math.max(1, differing.length / maxDisagreements);
    return Array.from({ length: Math.min(differing.length, maxDisagreements) }, (_, index) => {
      const row = differing[Math.floor(index * step)] ?? 0;
      const [original = -1, variant = -1, label = -1] = [predicted[row], answers.predicted[row], labels[row]];
      const sample = this.metrics.holdout.samples[row] ?? row;
      return { sample, label: label < 0 ? undefined : label, original, variant };
    });
  }

  async time(
    evaluations: readonly Evaluation[],
    { rounds, target }: { readonly rounds: number; readonly target?: RunTarget | undefined },
  ): Promise<LatencyReport & Pick<Timing, "inputs" | "where">> {
    const { engine, signal, progress } = this.#measured.context;
    const { feeds } = this.#measured.run;
    const models = await Promise.all([this.original, ...evaluations].map((evaluation) => this.open(evaluation)));
    const options = { rounds, signal, progress: (done: number, total?: number) => progress(done, total) };
    const report =
      target === undefined
        ? await latency(engine, models, feeds, options)
        : await target.latency(
            models,
            models.map(() => feeds),
            options,
          );
    return { ...report, inputs: inputTexts(feeds), ...(target === undefined ? {} : { where: target.where }) };
  }
}

function evaluationOf(
  { name }: EvaluatorOptions,
  facts: Omit<Measured, "estimate" | "name">,
  { original, rows: { batchNote } }: PairedMetrics,
): Evaluation {
  const measured = { ...facts, name, estimate: original.comparison.original };
  return { measured, batchNote, ...original, validation: undefined };
}

async function storeWithoutMasks(
  outputDigest: string,
  store: Store,
): Promise<{ readonly digest: string; readonly model: Model }> {
  const model = await store.open(outputDigest);
  if (!isPruned(model)) return { digest: outputDigest, model };
  await remove(model);
  assertValid(model);
  const digest = await store.keep(model);
  return { digest, model: await store.open(digest) };
}

async function factsOf(digest: string, store: Store, run: OneRun): Promise<Omit<Measured, "estimate" | "name">> {
  const model = await store.open(digest);
  return { sha256: digest, ...(await modelSizeOf(model, [await store.file(digest)])), macs: macsOf(model, run) };
}

/** Returns the count per sample; undefined if the count depends on more than the run's input sizes. */
export function macsOf(model: Model, { feeds, size: batch }: OneRun): number | undefined {
  // Only layers with stored weights are missed if their operations are unknown.
  storeWeights(model);
  try {
    fixInputs(model, Object.fromEntries(Object.entries(feeds).map(([name, { dims }]) => [name, dims])));
  } catch (error) {
    if (error instanceof PithError) return undefined;
    throw error;
  }
  const { macs } = cost(model, infer(model));
  return typeof macs === "number" ? macs / batch : undefined;
}
