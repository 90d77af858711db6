/** Metrics that compare embeddings with the original's: mean-pooled as in sentence-transformers, and scaled to length 1. */

import { attentionMaskOf } from "#batches";
import { type Batch, dataError, dimsText, elementCount, optionError, toFloat64 } from "#ir";
import type { Metric, MetricOptions } from "./metric.ts";
import { mainOutput, mainOutputName } from "./output.ts";
import { averageRows } from "./rows.ts";

export interface Embeddings {
  readonly samples: number;
  readonly width: number;
  /** [samples, width], row-major. */
  readonly values: Float64Array;
}

/** Returns the direction of each sample's vector. @throws PithError E_DATA if the output has no feature axis. */
export function embeddings(outputs: Batch, batch: Batch | undefined, options: MetricOptions = {}): Embeddings {
  const { dims } = mainOutput(outputs, options.output);
  if (dims.length < 2 || dims.length > 3) {
    throw dataError(
      `An output of ${dimsText(dims)} is not an embedding: expected [samples, width] or [samples, positions, width].`,
    );
  }
  const sums = sampleVectors(outputs, batch, options);
  for (let sample = 0; sample < sums.samples; sample++) {
    const vector = rowOf(sums, sample);
    const length = Math.sqrt(dotProduct(vector, vector));
    if (length > 0) for (const [index, value] of vector.entries()) vector[index] = value / length;
  }
  return sums;
}

/** Returns each sample's vector; for [samples, positions, width] the sum over the positions that the attention mask selects. */
export function sampleVectors(outputs: Batch, batch: Batch | undefined, options: MetricOptions = {}): Embeddings {
  const dense = mainOutput(outputs, options.output);
  if (dense.type === "string") throw dataError("The output is text: it has no vectors to compare.");
  const [samples = 0, ...rest] = dense.dims;
  const positions = rest.length === 2 ? (rest[0] ?? 1) : 1;
  const width = elementCount(rest) / positions;
  const mask = maskOf(batch, samples, positions);
  const numbers = toFloat64(dense);
  const sums = { samples, width, values: new Float64Array(samples * width) };
  for (let sample = 0; sample < samples; sample++) {
    const vector = rowOf(sums, sample);
    for (let position = sample * positions; position < (sample + 1) * positions; position++) {
      if (mask?.[position] === 0) continue;
      for (let index = 0; index < width; index++)
        vector[index] = (vector[index] ?? 0) + (numbers[position * width + index] ?? 0);
    }
  }
  return sums;
}

const rowOf = ({ values, width }: Pick<Embeddings, "values" | "width">, row: number): Float64Array =>
  values.subarray(row * width, (row + 1) * width);

function maskOf(batch: Batch | undefined, samples: number, positions: number): Float64Array | undefined {
  const mask = batch === undefined ? undefined : attentionMaskOf(batch);
  if (positions === 1 || mask === undefined) return undefined;
  return mask.dims[0] === samples && mask.dims[1] === positions ? toFloat64(mask) : undefined;
}

/** Mean cosine between a sample's vector and the original's. */
export function cosine(options: MetricOptions = {}): Metric {
  return averageRows({
    name: "cosine",
    unit: "",
    better: "higher",
    best: 1,
    truth: "original",
    rows(outputs, original, batch) {
      const { ours, theirs } = pairEmbeddings(outputs, original, batch, options);
      return Float64Array.from({ length: ours.samples }, (_, sample) => cosineOf(ours, theirs, sample));
    },
  });
}

/** Share of each sample's k nearest neighbors (by cosine) that the model keeps. @throws PithError E_OPTION for k < 1, E_DATA for too few samples. */
export function neighborOverlap(k = 10, options: MetricOptions = {}): Metric {
  if (!Number.isInteger(k) || k < 1)
    throw optionError(`neighborOverlap: k: expected an integer of at least 1, got ${k}.`);
  return averageRows({
    name: `same top-${k}`,
    unit: "share",
    better: "higher",
    truth: "original",
    rows(outputs, original, batch) {
      const { ours, theirs } = pairEmbeddings(outputs, original, batch, options);
      const { samples, width } = ours;
      // Each sample has two rows: the model's vector, then the original's.
      const rows = new Float64Array(2 * samples * width);
      for (let sample = 0; sample < samples; sample++) {
        rows.set(rowOf(ours, sample), 2 * sample * width);
        rows.set(rowOf(theirs, sample), (2 * sample + 1) * width);
      }
      return rows;
    },
    gathered(collectedRows, samples) {
      if (samples < minSamplesOf(k))
        throw dataError(
          `The ${k} nearest neighbors of a sample need at least ${minSamplesOf(k)} samples, got ${samples}.`,
        );
      const width = collectedRows.length / samples / 2;
      const rows = { values: collectedRows, width };
      return Float64Array.from({ length: samples }, (_, sample) => {
        if ([0, 1].some((side) => rowOf(rows, 2 * sample + side).some(Number.isNaN))) return 0;
        const originalNeighbors = new Set(nearestRows(rows, sample, k, 1));
        return nearestRows(rows, sample, k, 0).filter((other) => originalNeighbors.has(other)).length / k;
      });
    },
  });
}

/** Returns the minimum number of samples, with which about a quarter of the neighbors agree by chance. */
export function minSamplesOf(k: number): number {
  return 4 * k;
}

function cosineOf(ours: Embeddings, reference: Embeddings, sample: number): number {
  const [a, b] = [rowOf(ours, sample), rowOf(reference, sample)];
  return [a, b].every((vector) => vector.every((value) => value === 0)) ? 1 : dotProduct(a, b);
}

/** Returns the k nearest samples; ties go to the first. `side`: 0 for the model's vectors, 1 for the original's. */
function nearestRows(rows: Pick<Embeddings, "values" | "width">, sample: number, k: number, side: 0 | 1): number[] {
  const vectorOf = (index: number): Float64Array => rowOf(rows, 2 * index + side);
  const best: { readonly index: number; readonly near: number }[] = [];
  for (let index = 0; index < rows.values.length / rows.width / 2; index++) {
    if (index === sample) continue;
    const cosine = dotProduct(vectorOf(sample), vectorOf(index));
    const similarity = Number.isNaN(cosine) ? Number.NEGATIVE_INFINITY : cosine;
    if (best.length === k && similarity <= (best.at(-1)?.near ?? 0)) continue;
    const position = best.findIndex((other) => similarity > other.near);
    best.splice(position < 0 ? best.length : position, 0, { index, near: similarity });
    if (best.length > k) best.pop();
  }
  return best.map(({ index }) => index);
}

function pairEmbeddings(
  outputs: Batch,
  original: Batch,
  batch: Batch | undefined,
  options: MetricOptions,
): { readonly ours: Embeddings; readonly theirs: Embeddings } {
  const output = mainOutputName(original, options.output);
  const reference = embeddings(original, batch, { output });
  const ours = embeddings(outputs, batch, { output });
  if (ours.width !== reference.width || ours.samples !== reference.samples) {
    const sizes = [reference, ours].map(({ samples, width }) => dimsText([samples, width]));
    throw dataError(`"${output}" is ${sizes[0]} in the original and ${sizes[1]} in the model.`);
  }
  return { ours, theirs: reference };
}

function dotProduct(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let index = 0; index < a.length; index++) sum += (a[index] ?? 0) * (b[index] ?? 0);
  return sum;
}
