/** Checks whether a model's output for a sample depends on the other samples of its batch, and chooses the batch size of evaluations. */
import { hasBatchAxis, hasRandomNodes } from "#analysis";
import type { Dataset } from "#batches";
import { attentionMaskOf, findStates, firstBatch, isIndexed, mapColumns, sampleCount, sliceBatch } from "#batches";
import type { Batch, Dense, Model } from "#ir";
import {
  asPithError,
  capitalize,
  counted,
  dataError,
  integer,
  Miss,
  PithError,
  percent,
  takeIndices,
  throwIfAborted,
  toFloat64,
} from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { sampleVectors } from "../../runtime/metrics/embedding.ts";
import { defaultBatch } from "../../runtime/metrics/evaluate.ts";
import type { MetricOptions } from "../../runtime/metrics/metric.ts";
import { Difference } from "../../runtime/run/difference.ts";
import { Feeder } from "../../runtime/run/feeding.ts";
import { createRunner } from "../../runtime/run/runner.ts";
import { toleranceOf } from "./equivalence.ts";
import { minEqualCosine } from "./same-outputs.ts";

export interface BatchInvariance {
  readonly samples: number;
  readonly batch: number;
  /** Lowest cosine of any sample between its outputs alone and in a batch. */
  readonly worst: number;
  /** Largest relative difference (root mean square) of any sample; 0 if all are within the rounding tolerance. */
  readonly apart: number;
}

export interface BatchInvarianceOptions extends MetricOptions {
  /** Maximum number of samples (default: 16, enough to detect quantization ranges that the model computes per batch). */
  readonly samples?: number;
  readonly batch?: number | undefined;
  /** Seed of the random order (default: 0), so that batches mix samples of different lengths. */
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/** Runs samples in batches and alone, and compares outputs; a Miss if the model cannot run both ways. @throws PithError E_DATA, E_STOPPED. */
export async function measureInvariance(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  options: BatchInvarianceOptions = {},
): Promise<BatchInvariance | Miss> {
  const { samples = 16, batch = defaultBatch([model]), seed = 0, signal } = options;
  const fixedFeed = model.graph.feeds.find(({ type }) => typeof type?.dims?.[0] === "number");
  if (fixedFeed !== undefined) return new Miss(`its input "${fixedFeed.name}" fixes the number of samples`);
  if (!hasBatchAxis(model)) return new Miss("no axis of its inputs counts samples");
  const runner = await createRunner(engine, model, dataset.name);
  let [done, worst, maxBatch, maxError] = [0, 1, 0, 0];
  try {
    for await (const rows of dataset.batches({
      size: Math.min(batch, samples),
      ...(isIndexed(dataset) ? { shuffle: seed } : {}),
    })) {
      throwIfAborted(signal, "The evaluation was stopped.");
      const count = Math.min(sampleCount(rows, dataset.name), samples - done);
      if (count < 1) break;
      if (findStates(model, Object.keys(rows)).length > 0)
        return new Miss("the model carries states from one sample to the next");
      maxBatch = Math.max(maxBatch, sampleCount(rows, dataset.name));
      const batchVectors = sampleVectors(await runner.run(rows), rows, options);
      for (let sample = 0; sample < count; sample++) {
        const row = withoutPadding(sliceBatch(rows, sample, sample + 1));
        const singleVectors = sampleVectors(await runner.run(row), row, options);
        const { width } = batchVectors;
        if (singleVectors.width !== width) return new Miss("without padding its output has another size");
        const difference = new Difference();
        for (let index = 0; index < width; index++) {
          const [x = 0, y = 0] = [singleVectors.values[index], batchVectors.values[sample * width + index]];
          // NaN in both runs is not a dependence on the batch.
          if (!(Number.isNaN(x) && Number.isNaN(y))) difference.add(x, y);
        }
        const { cosine, relativeError } = difference;
        maxError = Math.max(maxError, relativeError);
        worst = Number.isNaN(cosine) ? cosine : Math.min(worst, cosine);
      }
      done += count;
    }
  } finally {
    await runner.release();
  }
  if (done === 0) throw dataError(`${dataset.name} has no samples.`);
  if (maxBatch < 2) return new Miss("batch dependence needs at least two samples");
  const isRounding = maxError <= toleranceOf(model);
  return { samples: done, batch: maxBatch, worst, apart: isRounding ? 0 : maxError };
}

export interface BatchNote {
  readonly note: string | undefined;
  readonly isWarning: boolean;
}

export interface BatchChoice extends BatchNote {
  readonly batch: number;
  /** Undefined if the last model was not checked. */
  readonly invariance?: BatchInvariance | undefined;
}

/** Returns the requested size; by default `defaultBatch`, or 1 if outputs depend on the batch. @param metric its name, for the note. */
export async function chooseBatch(
  engine: Engine,
  models: readonly Model[],
  dataset: Dataset,
  metric: string,
  { batch, ...options }: BatchInvarianceOptions = {},
): Promise<BatchChoice> {
  const size = batch ?? defaultBatch(models);
  const defaultChoice = { batch: size, note: await describeInputs(models, dataset), isWarning: false };
  // A model that draws random numbers draws different ones alone and in a batch.
  if (size < 2 || models.some(hasRandomNodes)) return defaultChoice;
  let lastInvariance: BatchInvariance | undefined;
  for (const [index, model] of models.entries()) {
    const invariance = await measureInvariance(engine, model, dataset, { ...options, batch: size }).catch(asPithError);
    lastInvariance = invariance instanceof PithError || invariance instanceof Miss ? undefined : invariance;
    if (lastInvariance === undefined || lastInvariance.apart === 0) continue;
    const { samples, apart, worst } = lastInvariance;
    const changeText = Number.isNaN(apart) ? "of which one is NaN" : `differ by up to ${percent(apart)} of their size`;
    const samplesText = `${counted(samples, "sample")}, alone and in a batch of ${integer(lastInvariance.batch)}`;
    const differenceText = `The outputs of a sample depend on the others of its batch: ${samplesText}, ${changeText}`;
    const note =
      batch === undefined
        ? `${differenceText}. ${capitalize(metric)} is measured one sample at a time, which shows no such difference; to measure in batches: \`batch: ${size}\`.`
        : `${differenceText}. ${capitalize(metric)} is measured in batches of ${size}; to measure single samples: \`batch: 1\`.`;
    const ofLast = index === models.length - 1 ? { invariance: lastInvariance } : {};
    return { batch: batch ?? 1, note, isWarning: !(worst >= minEqualCosine), ...ofLast };
  }
  return { ...defaultChoice, invariance: lastInvariance };
}

async function describeInputs(models: readonly Model[], dataset: Dataset): Promise<string | undefined> {
  const [model] = models;
  if (models.some(hasRandomNodes))
    return "The model draws random numbers: both models draw the same ones, from fixed seeds.";
  if (model === undefined || hasBatchAxis(model)) return undefined;
  const rows = await firstBatch(dataset);
  const [run] = new Feeder(model, rows, dataset.name).runs(rows);
  const [name] = Object.entries(run?.feeds ?? {}).find(([, { dims }]) => dims.length === 1 && dims[0] === 1) ?? [];
  return name === undefined
    ? undefined
    : `No axis of "${name}" counts samples: each row of the data is run alone, as a sample of one value. Samples of several values need an array of [samples, values].`;
}

/** Returns whether axis 1 counts positions (tokens, masks, vectors per position) rather than features of a sample. */
function isSequence({ type, dims }: Dense): boolean {
  return dims.length > 2 || (dims.length === 2 && (type === "int64" || type === "int32" || type === "bool"));
}

function withoutPadding(sample: Batch): Batch {
  const mask = attentionMaskOf(sample);
  const length = mask?.dims[1];
  if (mask === undefined || length === undefined) return sample;
  const unmaskedPositions = [...toFloat64(mask).entries()].flatMap(([position, value]) =>
    value === 0 ? [] : [position],
  );
  if (unmaskedPositions.length === length || unmaskedPositions.length === 0) return sample;
  return mapColumns(sample, (dense) =>
    isSequence(dense) && dense.dims[1] === length ? takeIndices(dense, 1, unmaskedPositions) : dense,
  );
}
