/** Job of `pith eval`: measures a model on data and compares it with its original. */

import { resolve } from "node:path";
import { type Batch, errorMessage, type Model, open, PithError, truncateList } from "#ir";
import { importModule } from "#platform";
import { createEngine } from "../../../core/engine/index.ts";
import { firstBatch } from "../../../data/batches/select.ts";
import { labelNames } from "../../../data/files/labels.ts";
import { imageFiles } from "../../../data/images/image-batches.ts";
import { findImages } from "../../../data/images/preprocess.ts";
import type { Dataset } from "../../../data/index.ts";
import { textColumns } from "../../../data/text/sequences.ts";
import type { OnTarget } from "../../../judge/compare/target-check.ts";
import { type Measurement, measureModels } from "../../../judge/run/measure-models.ts";
import { reportTargets } from "../../../judge/run/target-report.ts";
import { comparisonMetrics } from "../../../judge/task/metrics.ts";
import type { MetricName } from "../../../judge/task/named-metrics.ts";
import { type OpenedTask, storeStates } from "../../../judge/task/open-task.ts";
import { textInputs } from "../../../judge/task/text-inputs.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import type { Metric } from "../../../runtime/metrics/types.ts";
import { watchLoads } from "../../../runtime/run/load-check.ts";
import type { RunTarget, TargetName } from "../../../runtime/run/run-target.ts";
import type { DataRequest } from "../flags/data.ts";
import { explainByInputs } from "../job-parts/inputs.ts";
import { contextOf, openModel, warnOfOrder } from "../job-parts/open-model.ts";
import type { PassInput } from "../job-parts/pass-output.ts";
import { withTargets } from "../job-parts/target.ts";
import { openRequest } from "../job-parts/task.ts";

export interface EvalInput
  extends Pick<PassInput, "model" | "data" | "metric" | "output" | "maxDrop" | "strict" | "seed"> {
  readonly original: string | undefined;
  readonly score: string | undefined;
  readonly demanded?: readonly string[];
  readonly targets: readonly TargetName[];
}

export interface EvalOutput {
  readonly score: { readonly value: number; readonly original: number | undefined } | undefined;
  readonly measured: Measurement | undefined;
  /** Checks of the target runtimes, each compared with the original on the native runtime: on the data, or without data on random inputs. */
  readonly targets: readonly OnTarget[];
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
  const { metric, output, maxDrop, strict } = input;
  const engine = watchLoads(createEngine());
  const model = { model: await openModel(input.model, context), path: input.model };
  const original =
    input.original === undefined ? undefined : { model: await open(input.original), path: input.original };
  if (original !== undefined) {
    await warnOfOrder([original, model], (before, after) => ["eval", after, "--original", before], context);
    storeStates(model.model, data.states);
  }
  try {
    // The preprocessing is guessed with the original, because the guess could be wrong with a damaged model.
    const task = await openRequest(
      engine,
      (original ?? model).model,
      data,
      { alike: model.model, needsLabels: original === undefined },
      input,
      context,
    );
    if (!task.labelled && original === undefined) await explainMissingLabels(task);
    const request = { model, original, task, metric, output, batch: data.batch, goal: { maxDrop, strict } };
    return await measureModels(request, contextOf(engine, input, context));
  } catch (error) {
    throw (original && explainByInputs(model.model, original.model, error)) ?? error;
  }
}

async function explainMissingLabels({ seen: dataset, preprocessing }: OpenedTask): Promise<never> {
  const first = await firstBatch(dataset);
  const note = preprocessing === undefined ? "" : ` (${preprocessing})`;
  const text =
    first.label === undefined
      ? `${dataset.name} has no labels${note}${await columnsText(dataset)}.`
      : `${dataset.name} has class labels, which are no ground truth for this model.`;
  throw new PithError("E_DATA", text, {
    hint: `${first.label === undefined ? `${labelsHint(first)} ` : ""}Without labels a model can be compared with its original: --original original.onnx.`,
  });
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
