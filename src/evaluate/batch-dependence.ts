/**
 * Whether what a model says of a sample depends on the other samples of the batch, and on the padding that they bring along.
 *
 * A model that quantizes its activations with ranges taken from the whole batch answers differently alone and in a batch. For a stored
 * index of embeddings that is a fault: a query comes alone. Each sample is run in a batch and alone, without padding, and the two answers
 * are compared by their cosine.
 */
import { isIndexed } from "../data/indexed.ts";
import { attentionMaskOf, mapColumns, sampleCount, sliceBatch } from "../data/rows.ts";
import { findStates } from "../data/states.ts";
import type { Dataset } from "../data/types.ts";
import type { Engine } from "../engine/engine.ts";
import { Miss, PithError, refusalIn, stopIfAsked } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { takeIndices } from "../tensor/take.ts";
import type { Batch, Dense } from "../tensor/types.ts";
import { cosineOf, embeddings } from "./embedding.ts";
import type { MetricOptions } from "./metrics.ts";
import { createRunner } from "./run.ts";
import { usualBatch } from "./usual-batch.ts";

export interface Invariance {
  readonly samples: number;
  /** Cosine between the answer alone and in a batch: of the worst sample, and on average. */
  readonly worst: number;
  readonly mean: number;
}

export interface InvarianceOptions extends MetricOptions {
  /** Samples to try at most (64). */
  readonly samples?: number;
  /** Samples in a batch (8). */
  readonly batch?: number | undefined;
  /** Samples are drawn by it, where the data can be had in any order, so that batches hold samples of unlike lengths (0). */
  readonly seed?: number;
  readonly signal?: AbortSignal;
}

/**
 * Runs samples in batches and alone, and compares the answers. A Miss for a model that takes one sample at a time, or data with one sample.
 * @throws PithError E_DATA if the data does not fit or has no samples, E_STOPPED on the signal.
 * @example
 * const alone = await batchInvariance(createEngine(), model, data);
 * if (!(alone instanceof Miss) && alone.worst < 0.999) console.warn("a text's vector depends on its batch");
 */
export async function batchInvariance(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  options: InvarianceOptions = {},
): Promise<Invariance | Miss> {
  const { samples = 64, batch = 8, seed = 0, signal } = options;
  const fixed = model.graph.feeds.find(({ type }) => typeof type?.dims?.[0] === "number");
  if (fixed !== undefined) return new Miss(`its input "${fixed.name}" fixes the number of samples`);
  const runner = await createRunner(engine, model, dataset.name);
  let [done, sum, worst, largest] = [0, 0, 1, 0];
  try {
    for await (const read of dataset.batches({ size: batch, ...(isIndexed(dataset) ? { shuffle: seed } : {}) })) {
      stopIfAsked(signal, "The evaluation was stopped.");
      const count = Math.min(sampleCount(read, dataset.name), samples - done);
      if (count < 1) break;
      if (findStates(model, Object.keys(read)).length > 0)
        return new Miss("the model carries states from one sample to the next");
      largest = Math.max(largest, sampleCount(read, dataset.name));
      const together = embeddings(await runner.run(read), read, options);
      for (let sample = 0; sample < count; sample++) {
        const own = withoutPadding(sliceBatch(read, sample, sample + 1));
        const alone = embeddings(await runner.run(own), own, options);
        const { width } = together;
        const values = together.values.subarray(sample * width, (sample + 1) * width);
        const same = cosineOf(alone, { samples: 1, width, values }, 0);
        sum += same;
        worst = Number.isNaN(same) ? same : Math.min(worst, same);
      }
      done += count;
    }
  } finally {
    await runner.release();
  }
  if (done === 0) throw new PithError("E_DATA", `${dataset.name} has no samples.`);
  if (largest < 2) return new Miss("batch dependence needs at least two samples");
  return { samples: done, worst, mean: sum / done };
}

/** The cosine below which an answer counts as another one: rounding alone stays far above. */
export const sameDirection = 0.9999;
/** In four digits; what is below `sameDirection` is rounded down, so that it does not look as if it reached it. */
export const cosineText = (worst: number): string =>
  (worst < sameDirection ? Math.floor(1e4 * worst) / 1e4 : worst).toFixed(4);
/** So few samples show ranges that are taken from the batch. */
const noteSamples = 16;

export interface JudgedBatch {
  readonly batch: number;
  /** Where answers depend on it: which batch the figure is of, in words. */
  readonly note: string | undefined;
}

/**
 * The batch size to evaluate models with: the requested one, else `usualBatch`, or 1 where an output depends on the other samples of its batch.
 * @param metric the name of the figure, for the note.
 */
export async function judgedBatch(
  engine: Engine,
  models: readonly Model[],
  dataset: Dataset,
  metric: string,
  { batch, ...options }: InvarianceOptions = {},
): Promise<JudgedBatch> {
  const size = batch ?? usualBatch(models);
  if (size < 2) return { batch: size, note: undefined };
  for (const model of models) {
    const found = await batchInvariance(engine, model, dataset, {
      ...options,
      batch: size,
      samples: noteSamples,
    }).catch(refusalIn);
    if (found instanceof PithError || found instanceof Miss || !(found.worst < sameDirection)) continue;
    const depends = `The outputs depend on the batch: alone and in a batch of ${size}, the cosine is ${cosineText(found.worst)} at worst (${found.samples} samples)`;
    const note =
      batch === undefined
        ? `${depends}. So ${metric} is measured one sample at a time; \`batch: ${size}\` measures in batches.`
        : `${depends}. So ${metric} is valid for batches of ${size} only; \`batch: 1\` measures single samples.`;
    return { batch: batch ?? 1, note };
  }
  return { batch: size, note: undefined };
}

/** Whether axis 1 counts positions: of tokens, masks and of vectors at positions, but not of the features of a sample. */
function isSequence({ type, dims }: Dense): boolean {
  return dims.length > 2 || (dims.length === 2 && (type === "int64" || type === "int32" || type === "bool"));
}

/** One sample with the positions left out that its "attention_mask" does not count. */
function withoutPadding(sample: Batch): Batch {
  const mask = attentionMaskOf(sample);
  const length = mask?.dims[1];
  if (mask === undefined || length === undefined) return sample;
  const counted = [...toFloat64(mask).entries()].flatMap(([position, value]) => (value === 0 ? [] : [position]));
  if (counted.length === length || counted.length === 0) return sample;
  return mapColumns(sample, (dense) =>
    isSequence(dense) && dense.dims[1] === length ? takeIndices(dense, 1, counted) : dense,
  );
}
