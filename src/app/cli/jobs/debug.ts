/** Job of `pith debug`: compares each layer of a changed model with its original. */

import { allLayers, counterpartsAmong, infer } from "#analysis";
import { bytesOfText, Miss, type Model, open, PithError } from "#ir";
import { writeFileAtomically } from "#platform";
import { createEngine } from "../../../core/engine/index.ts";
import { counted } from "../../../core/numbers.ts";
import { findLostForm } from "../../../judge/compare/compare-function.ts";
import { storeStates } from "../../../judge/task/open-task.ts";
import { textInputs } from "../../../judge/task/text-inputs.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { type LayerErrors, layerErrors } from "../../../runtime/noise/layer-errors.ts";
import { weightErrors } from "../../../runtime/noise/weight-errors.ts";
import { type DebuggedLayer, debugPage } from "../../report/debug.ts";
import { explainByInputs, wrongOriginalHint } from "../job-parts/inputs.ts";
import { contextOf, isChanged, openModel, warnOfOrder } from "../job-parts/open-model.ts";
import type { PassInput } from "../job-parts/pass-output.ts";
import { openRequest } from "../job-parts/task.ts";

/** Minimum signal-to-noise ratio of the last layers in decibels, at which a model counts as derived from its original. */
const minSimilarity = 10;

const defaultSamples = 32;

export interface DebugInput extends Pick<PassInput, "model" | "data" | "output" | "seed"> {
  readonly original: string;
  readonly out: string | undefined;
}

export interface DebugOutput extends Pick<LayerErrors, "misses" | "blamed"> {
  readonly layers: readonly DebuggedLayer[];
  readonly lost: string | undefined;
  /** Inputs of the comparison: "cifar10 (test), 32 samples" or "random inputs". */
  readonly on: string;
  readonly preprocessing: string | undefined;
}

export default async function debugJob(input: DebugInput, context: JobContext): Promise<DebugOutput> {
  const engine = createEngine();
  const original = await openModel(input.original, context);
  const model = await open(input.model);
  await warnOfOrder(
    [
      { model: original, path: input.original },
      { model, path: input.model },
    ],
    (before, after) => ["debug", before, after],
    context,
  );
  const { data, output, seed } = input;
  const explain = (error: unknown): never => {
    throw explainByInputs(model, original, error) ?? error;
  };
  if (data !== undefined) storeStates(original, data.states);
  const task =
    data === undefined
      ? undefined
      : await openRequest(engine, original, data, { alike: model }, input, context).catch(explain);
  const samples = data?.samples ?? defaultSamples;
  context.stage("layers");
  const texts = task === undefined ? await textInputs(original, contextOf(engine, input, context)) : undefined;
  const preparedSamples = task?.ready(task.seen) ?? texts?.test;
  const lostForm = await findLostForm(engine, original, model, preparedSamples, { seed, signal: context.signal }).catch(
    explain,
  );
  const errors = await layerErrors(engine, original, model, preparedSamples, {
    output,
    seed,
    samples,
    ...(data?.batch === undefined ? {} : { batch: data.batch }),
    ...context,
  }).catch(explain);
  if (errors instanceof Miss) {
    throw new PithError("E_UNSUPPORTED", `The models cannot be compared on random inputs: ${errors.reason}.`, {
      hint: "Give samples: --data.",
    });
  }
  context.stage("weights");
  const weights = await weightErrors(engine, original, model, context.signal);
  if (!isChanged(model) && !areRelated(original, model, weights, errors.layers))
    throw new PithError(
      "E_UNSUPPORTED",
      `No layer of ${input.model} is like one of ${input.original}: nothing can be compared layer by layer.`,
      { hint: wrongOriginalHint },
    );
  const layers = errors.layers.map((layer) => ({ ...layer, weight: weights.get(layer.layer) }));
  const inputsText =
    task === undefined
      ? (texts?.test.name ?? "random inputs")
      : `${task.seen.name}, ${counted(Math.min(samples, task.seen.count ?? samples), "sample")}`;
  const result = {
    layers,
    lost: lostForm,
    blamed: errors.blamed,
    misses: errors.misses,
    on: inputsText,
    preprocessing: task?.preprocessing,
  };
  if (input.out !== undefined) {
    const page = debugPage({ ...result, original: input.original, model: input.model });
    await writeFileAtomically(input.out, [bytesOfText(page)]);
  }
  return result;
}

/**
 * Returns whether a model seems to be derived from its original: the last layers agree, or a weight resembles its counterpart. Without comparable
 * weights, at least half of the layers must have counterparts.
 */
function areRelated(
  original: Model,
  model: Model,
  weights: ReadonlyMap<string, number>,
  layers: LayerErrors["layers"],
): boolean {
  if ((layers.at(-1)?.signalToNoise ?? 0) >= minSimilarity) return true;
  if (weights.size > 0) return [...weights.values()].some((decibels) => decibels > 0);
  const originalLayers = allLayers(original, infer(original));
  const counterparts = counterpartsAmong(allLayers(model, infer(model)));
  const matchedLayers = originalLayers.filter((layer) => counterparts(layer).length > 0);
  return 2 * matchedLayers.length >= originalLayers.length;
}
