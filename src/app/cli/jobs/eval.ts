/** Job of `pith eval`: measures a model on data and compares it with its original. */

import { resolve } from "node:path";
import { outputKind } from "#analysis";
import { type Batch, errorMessage, Miss, type Model, open, PithError, truncateList } from "#ir";
import { importModule } from "#platform";
import { createEngine } from "../../../core/engine/index.ts";
import type { Estimate, Unit } from "../../../core/estimate.ts";
import { range } from "../../../data/batches/indexed.ts";
import { firstBatch } from "../../../data/batches/select.ts";
import { labelNames } from "../../../data/files/labels.ts";
import { imageFiles } from "../../../data/images/image-batches.ts";
import { findImages } from "../../../data/images/preprocess.ts";
import { type Dataset, mapBatches } from "../../../data/index.ts";
import { textColumns } from "../../../data/text/sequences.ts";
import { batchInvariance, chooseBatch, type Invariance } from "../../../judge/compare/batch-dependence.ts";
import { answersWithNaN } from "../../../judge/compare/compare.ts";
import { compareOnSamples, type Likeness, lossOf } from "../../../judge/compare/compare-function.ts";
import { type Comparison, judge, type Verdict } from "../../../judge/compare/goal.ts";
import type { ComparedValues } from "../../../judge/compare/output-comparison.ts";
import type { OnTarget } from "../../../judge/compare/target-check.ts";
import { announceDuration } from "../../../judge/run/duration-notice.ts";
import { Holdout, type HoldoutComparison } from "../../../judge/run/holdout.ts";
import { findLostKnowledge } from "../../../judge/run/judgement.ts";
import { isDistance } from "../../../judge/run/kept-function.ts";
import { reportTargets } from "../../../judge/run/target-report.ts";
import { comparisonMetrics, selectMetric } from "../../../judge/task/metrics.ts";
import type { MetricName } from "../../../judge/task/named-metrics.ts";
import { storeStates } from "../../../judge/task/open-task.ts";
import { chanceQuestion } from "../../../judge/task/prepare-images.ts";
import { textInputs } from "../../../judge/task/text-inputs.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { estimate, measure } from "../../../runtime/metrics/evaluate.ts";
import { answers, answersOf, isAllNaN, isAtChance, shareOfMostFrequent } from "../../../runtime/metrics/predictions.ts";
import type { Metric } from "../../../runtime/metrics/types.ts";
import type { RunTarget, TargetName } from "../../../runtime/run/run-target.ts";
import type { DataRequest } from "../flags/data.ts";
import { rewordOptionNames } from "../flags/invalid-options.ts";
import { explainByInputs } from "../job-parts/inputs.ts";
import { contextOf, openModel, warnOfOrder } from "../job-parts/open-model.ts";
import type { PassInput } from "../job-parts/pass-output.ts";
import { withTargets } from "../job-parts/target.ts";
import { openRequest } from "../job-parts/task.ts";

const comparedSamples = 32;

export interface EvalInput
  extends Pick<PassInput, "model" | "data" | "metric" | "output" | "maxDrop" | "strict" | "seed"> {
  readonly original: string | undefined;
  readonly score: string | undefined;
  readonly demanded?: readonly string[];
  readonly targets: readonly TargetName[];
}

export interface Figure {
  readonly metric: string;
  readonly unit: Unit;
  readonly better: "higher" | "lower";
  readonly estimate: Estimate;
  readonly detail?: string | undefined;
}

export interface EvalOutput {
  readonly score: { readonly value: number; readonly original: number | undefined } | undefined;
  readonly measured: Measurement | undefined;
  /** Checks of the target runtimes, each compared with the original on the native runtime: on the data, or without data on random inputs. */
  readonly targets: readonly OnTarget[];
}

export interface Measurement {
  readonly dataset: string;
  readonly samples: number;
  /** Number of test samples in the data; undefined if all were used. */
  readonly available: number | undefined;
  readonly preprocessing: string | undefined;
  readonly figures: readonly Figure[];
  readonly truth: "labels" | "original";
  /** Note about the batch size, if outputs depend on the batch. */
  readonly note: string | undefined;
  readonly comparison: Comparison | undefined;
  readonly verdict: Verdict | undefined;
  /** Sentence if less than half of the accuracy above chance is left, and the goal does not permit this. */
  readonly lostKnowledge: string | undefined;
  /**
   * Similarity of the outputs that the metric does not evaluate, or the reason why they were not compared. Undefined if there are no such outputs and
   * all outputs have the same type and shape.
   */
  readonly others: Likeness | string | undefined;
  readonly alone: Invariance | undefined;
  /** Whether the original (or without one, the model) is not better than always predicting the most frequent class. */
  readonly atChance: boolean;
  readonly unmeasured: string | undefined;
}

export default async function evalJob(input: EvalInput, context: JobContext): Promise<EvalOutput> {
  const { original } = input;
  if (original !== undefined) requireMeasured(await open(original), original, input);
  return withTargets(input.targets, context, (targets) => evaluate(input, targets, context));
}

async function evaluate(input: EvalInput, targets: readonly RunTarget[], context: JobContext): Promise<EvalOutput> {
  const { model, original, score, data } = input;
  const measurements = data === undefined ? undefined : await measureOnData(input, data, context);
  let onTarget: readonly OnTarget[] = [];
  if (original !== undefined && targets.length > 0) {
    const [engine, reference] = [createEngine(), await open(original)];
    const texts = data === undefined ? await textInputs(reference, contextOf(engine, input, context)) : undefined;
    const samples = measurements?.samples ?? texts?.test;
    const options = { ...input, samples };
    onTarget = await reportTargets(engine, targets, reference, await open(model), options, context);
  }
  return {
    targets: onTarget,
    score:
      score === undefined
        ? undefined
        : {
            value: await scoreOf(score, model),
            original: original === undefined ? undefined : await scoreOf(score, original),
          },
    measured: measurements?.measured,
  };
}

async function measureOnData(
  input: EvalInput,
  data: DataRequest,
  context: JobContext,
): Promise<{ readonly measured: Measurement; readonly samples: Dataset }> {
  const { original: originalPath, output } = input;
  const engine = createEngine();
  const candidate = await openModel(input.model, context);
  const original = originalPath === undefined ? undefined : await open(originalPath);
  if (originalPath !== undefined && original !== undefined)
    await warnOfOrder(
      [
        { model: original, path: originalPath },
        { model: candidate, path: input.model },
      ],
      (originalMetricRows, candidateMetricRows) => ["eval", candidateMetricRows, "--original", originalMetricRows],
      context,
    );
  const reference = original ?? candidate;
  if (original !== undefined) storeStates(candidate, data.states);
  const explain = (error: unknown): never => {
    throw original === undefined ? error : (explainByInputs(candidate, original, error) ?? error);
  };
  // The preprocessing is guessed with the original, because the guess could be wrong with a damaged candidate.
  const task = await openRequest(
    engine,
    reference,
    data,
    { alike: candidate, needsLabels: original === undefined },
    input,
    context,
  ).catch(explain);
  const { labelled, preprocessing, seen: dataset } = task;
  const available = task.stored.testable;
  if (!labelled && original === undefined) {
    const preprocessingNote = preprocessing === undefined ? "" : ` (${preprocessing})`;
    const first = await firstBatch(dataset);
    const text =
      first.label === undefined
        ? `${dataset.name} has no labels${preprocessingNote}${await columnsText(dataset)}.`
        : `${dataset.name} has class labels, which are no ground truth for this model.`;
    throw new PithError("E_DATA", text, {
      hint: `${first.label === undefined ? `${labelsHint(first)} ` : ""}Without labels a model can be compared with its original: --original original.onnx.`,
    });
  }
  const mainMetric = selectMetric(original ?? candidate, input.metric, output, {
    labelled,
    hasOriginal: original !== undefined,
    reading: task.reading,
  });
  if (mainMetric.truth === "original" && original === undefined)
    throw new PithError("E_USAGE", `--metric ${input.metric} needs --original: it compares a model with its original.`);
  const otherMetrics =
    original === undefined
      ? []
      : comparisonMetrics(original, output, { ...task, samples: dataset.count, metric: input.metric });
  const metrics = [mainMetric, ...otherMetrics.filter(({ name }) => name !== mainMetric.name)];
  const predictionMetric = answers(output, mainMetric);
  const readySamples = task.ready(dataset);
  // Labels that the metric does not use are removed, because they can have a form that does not fit the model.
  const preparedSamples =
    mainMetric.truth === "original" && labelled
      ? mapBatches(readySamples, ({ label: _, ...batch }) => batch)
      : readySamples;
  context.stage("evaluate");
  const models = original === undefined ? [candidate] : [original, candidate];
  const { batch, note, isWarning } = await chooseBatch(engine, models, preparedSamples, mainMetric.name, {
    batch: data.batch,
    signal: context.signal,
    output,
  });
  if (note !== undefined) context.log({ id: "batch", text: note, ...(isWarning ? { level: "warning" } : {}) });
  const announcingContext = announceDuration(
    { ...context, log: (event) => context.log({ ...event, text: rewordOptionNames(event.text) }) },
    dataset.count,
    1,
  );
  const rows = await measure(engine, models, preparedSamples, [...metrics, predictionMetric], {
    batch,
    held: original !== undefined,
    signal: context.signal,
    progress: (done, total) => announcingContext.progress(done, total),
  }).catch(explain);
  const candidateRows = rows.at(-1) ?? [];
  const figures = metrics.map((metric, index): Figure => {
    const { name, unit, better } = metric;
    const metricRows = candidateRows[index] ?? new Float64Array();
    return { metric: name, unit, better, estimate: estimate(metric, metricRows), detail: metric.detail?.(metricRows) };
  });
  const noPredictions = answersOf(new Float64Array());
  const predictions = rows.map((modelRows) => answersOf(modelRows[metrics.length] ?? new Float64Array()));
  const [originalRows, candidateResult] = rows.map((modelRows, index) => ({
    rows: modelRows[0] ?? new Float64Array(),
    answers: predictions[index] ?? noPredictions,
  }));
  const goal = input.maxDrop === undefined ? undefined : { maxDrop: input.maxDrop, strict: input.strict };
  let compared: HoldoutComparison | undefined;
  if (originalRows !== undefined && candidateResult !== undefined) {
    const holdout = new Holdout(mainMetric, originalRows, range(predictions[0]?.given.length ?? 0));
    compared = holdout.compare(candidateResult);
    const text = goal && holdout.oneClassWarning(goal.maxDrop);
    if (text !== undefined) context.log({ id: "one-class", text: rewordOptionNames(text), level: "warning" });
  }
  const comparison = compared?.comparison;
  const isNaNBefore =
    comparison !== undefined && answersWithNaN(mainMetric, comparison.original, predictions[0] ?? noPredictions);
  const values = figures.map(({ estimate: { value } }) => value);
  // For NaN outputs, accuracy is 0, so predictions are checked as well.
  const isNaNAfter =
    !values.some((value) => value !== 0 && !Number.isNaN(value)) &&
    (values.some(Number.isNaN) || isAllNaN(predictions.at(-1) ?? noPredictions));
  const unmeasured = isNaNBefore ? originalPath : isNaNAfter ? input.model : undefined;
  // Only the original must be above chance, because the candidate can have lost everything.
  const originalScore =
    labelled && mainMetric.interval === "proportion"
      ? estimate(mainMetric, rows[0]?.[0] ?? new Float64Array())
      : undefined;
  const chance = shareOfMostFrequent((predictions[0] ?? noPredictions).labels);
  const atChance =
    originalScore !== undefined && chance !== undefined && isAtChance(originalScore.value, chance, originalScore.count);
  if (atChance && !task.atChance && unmeasured === undefined) {
    context.log({ id: "chance", text: chanceQuestion(task.preset, originalScore.value, chance), level: "warning" });
  }
  const comparisonOptions = { samples: comparedSamples, seed: input.seed, signal: context.signal };
  const compareOutputs = async (reference: Model, values: ComparedValues) =>
    compareOnSamples(engine, keepOnlyOutput(reference, output), candidate, preparedSamples, {
      ...comparisonOptions,
      output,
      values,
    }).catch(explain);
  const allOutputs = original && isDistance(mainMetric) ? await compareOutputs(original, "all") : undefined;
  const otherOutputs =
    lossOf(allOutputs) === undefined ? original && (await compareOutputs(original, "all but the answer")) : allOutputs;
  const isVector = outputKind(candidate, output) === "vector";
  const invariance = isVector
    ? await batchInvariance(engine, candidate, preparedSamples, { signal: context.signal, output })
    : undefined;
  const measured: Measurement = {
    dataset: dataset.name,
    samples: figures[0]?.estimate.count ?? 0,
    available: available === dataset.count ? undefined : available,
    preprocessing,
    figures,
    truth: mainMetric.truth ?? "labels",
    comparison,
    verdict: comparison === undefined || goal === undefined ? undefined : judge(comparison, goal),
    lostKnowledge: compared && findLostKnowledge(compared, goal),
    others: otherOutputs,
    alone: invariance instanceof Miss ? undefined : invariance,
    note,
    atChance,
    unmeasured,
  };
  return { measured, samples: preparedSamples };
}

function keepOnlyOutput(model: Model, name: string | undefined): Model {
  if (name === undefined) return model;
  const copy = model.clone();
  copy.graph.setOutputs(copy.graph.outputs.filter((output) => output.name === name));
  return copy;
}

function hasImages(batch: Batch): boolean {
  const images = findImages(batch);
  return imageFiles(batch) !== undefined || (images !== undefined && (batch[images.name]?.dims.length ?? 0) > 2);
}

function labelsHint(batch: Batch): string {
  return hasImages(batch)
    ? "Images get their labels from one folder per class, or from labels.csv next to them."
    : `A column with labels is called ${labelNames.slice(0, -1).join(", ")} or ${labelNames.at(-1)}.`;
}

async function columnsText(dataset: Dataset): Promise<string> {
  for await (const batch of dataset.batches({ size: 1 })) {
    const listNames = (names: readonly string[]): string => truncateList(names.map((name) => `"${name}"`));
    const names = Object.keys(batch);
    const texts = textColumns(batch, dataset.name);
    const images = hasImages(batch) ? ", with images" : "";
    const remark = texts === undefined ? images : `, and ${listNames(texts)} was taken as the text`;
    return `: its ${names.length === 1 ? "only column is" : "columns are"} ${listNames(names)}${remark}`;
  }
  return "";
}

function requireMeasured(
  original: Model,
  path: string,
  request: { readonly demanded?: readonly string[]; readonly metric: MetricName; readonly output: string | undefined },
): void {
  const { demanded = [] } = request;
  const compared: readonly Metric[] =
    demanded.length === 0 ? [] : comparisonMetrics(original, request.output, { metric: request.metric });
  for (const kind of demanded) {
    const measured = kind === "accuracy" || kind === request.metric || compared.some(({ name }) => name === kind);
    if (measured) continue;
    const names = compared.map(({ name }) => name).join(", ");
    throw new PithError(
      "E_OPTION",
      `--min-${kind} cannot be checked: the output of "${path}" is measured by ${names}.`,
      { hint: `--metric ${kind} measures it, regardless of the name of the output.` },
    );
  }
}

/**
 * Calls the module's default export in this process. The export is a function from a model file to a number, or to a promise of one.
 * @throws PithError E_OPTION if the module cannot be loaded or exports no function, E_DATA if the function fails or returns no number.
 */
async function scoreOf(module: string, model: string): Promise<number> {
  const scorer = await load(module);
  let score: unknown;
  try {
    score = await scorer(resolve(model));
  } catch (cause) {
    throw new PithError("E_DATA", `${module} failed on ${model}: ${errorMessage(cause)}`, { cause });
  }
  if (typeof score === "number" && !Number.isNaN(score)) return score;
  throw new PithError("E_DATA", `${module} returned ${errorMessage(score)} for ${model}: a score must be a number.`);
}

async function load(module: string): Promise<(model: string) => unknown> {
  const { default: scorer } = await importModule(module, "E_OPTION");
  if (isFunction(scorer)) return scorer;
  throw new PithError("E_OPTION", `--score ${module} has no function as its default export.`, {
    hint: "export default async (modelFile) => 0.93;",
  });
}

function isFunction(value: unknown): value is (model: string) => unknown {
  return typeof value === "function";
}
