/** Selects samples of a dataset: the first ones, random ones, or disjoint splits. Also reads streams into memory. */
import { type Batch, dataError, optionError, random } from "#ir";
import type { BatchOptions, Dataset, IndexedDataset } from "./dataset.ts";
import { isIndexed, memory, pendingBatches, range, registerPendingBatches, view } from "./indexed.ts";
import { joinBatches, rowCount, sampleCount, sliceBatch } from "./rows.ts";

/** Seed of draws that decide which samples are tested. It is constant, so that results of several seeds can be compared. */
export const testSeed = 0;

/** Returns the first `count` samples, or all if there are fewer. */
export function take(dataset: IndexedDataset, count: number): IndexedDataset;
export function take(dataset: Dataset, count: number): Dataset;
export function take(dataset: Dataset, count: number): Dataset {
  if (isIndexed(dataset)) return view(dataset, dataset.name, range(Math.min(count, dataset.count)));
  return samplesBetween(dataset, 0, Math.max(0, count));
}

function samplesBetween(dataset: Dataset, first: number, end: number): Dataset {
  const { name, classes, synthetic } = dataset;
  return {
    name,
    classes,
    synthetic,
    count: dataset.count === undefined ? undefined : Math.max(0, Math.min(end, dataset.count) - first),
    async *batches(options) {
      let start = 0;
      if (end === 0) return;
      for await (const batch of dataset.batches(options)) {
        const size = sampleCount(batch, name);
        const [from, to] = [Math.max(0, first - start), Math.min(size, end - start)];
        start += size;
        const isWhole = from === 0 && to === size;
        if (from < to && (isWhole || options.dropLast !== true)) yield isWhole ? batch : sliceBatch(batch, from, to);
        if (start >= end) return;
      }
    },
  };
}

/** Returns a stream, which cannot be shuffled: for sequences in which the order matters. */
export function streamOf(dataset: Dataset): Dataset {
  if (!isIndexed(dataset)) return dataset;
  const { name, count, classes, synthetic, batches } = dataset;
  const withoutShuffle = ({ size, dropLast = false }: BatchOptions): BatchOptions => ({ size, dropLast });
  const stream: Dataset = { name, count, classes, synthetic, batches: (options) => batches(withoutShuffle(options)) };
  return registerPendingBatches(stream, (options, skip) => pendingBatches(dataset, withoutShuffle(options), skip));
}

/** Returns `count` random samples in random order; all in their order if there are no more. Of a stream, returns the first. */
export function draw(dataset: IndexedDataset, count: number, seed: number): IndexedDataset;
export function draw(dataset: Dataset, count: number, seed: number): Dataset;
export function draw(dataset: Dataset, count: number, seed: number): Dataset {
  if (!isIndexed(dataset)) return take(dataset, count);
  return count >= dataset.count ? dataset : setAside(dataset, count, seed).drawn;
}

type Division<D extends Dataset> = { readonly [part in "drawn" | "rest"]: D };

/** Returns `count` random samples, by the seed, and the others in their order. Of a stream, the first samples are set aside. */
export function setAside(dataset: IndexedDataset, count: number, seed: number): Division<IndexedDataset>;
export function setAside(dataset: Dataset, count: number, seed: number): Division<Dataset>;
export function setAside(dataset: Dataset, count: number, seed: number): Division<Dataset> {
  if (!isIndexed(dataset))
    return { drawn: take(dataset, count), rest: samplesBetween(dataset, count, Number.POSITIVE_INFINITY) };
  const order = random(seed, "draw").permutation(dataset.count);
  return {
    drawn: view(dataset, dataset.name, order.slice(0, count)),
    rest: view(dataset, dataset.name, order.slice(count).sort()),
  };
}

/**
 * Returns disjoint random splits, whose sizes are fractions of the dataset. Each split keeps the original order of samples.
 * @throws PithError E_DATA for a stream (`collect` it first); E_OPTION if a fraction is negative or their sum exceeds 1.
 * @example
 * const [train, calibrate] = split(dataset, [0.9, 0.1], 1);
 */
export function split(dataset: Dataset, fractions: readonly number[], seed: number): IndexedDataset[] {
  if (!isIndexed(dataset)) {
    throw dataError(`${dataset.name} is a stream, which cannot be split.`, {
      hint: 'Read it into memory first: await collect(dataset), from "pith/data".',
    });
  }
  const total = fractions.reduce((sum, fraction) => sum + fraction, 0);
  if (fractions.some((fraction) => !(fraction >= 0)) || total > 1 + 1e-9) {
    throw optionError(`Fractions must be at least 0 and sum to at most 1, got ${fractions.join(", ")}.`);
  }
  const order = random(seed, "split").permutation(dataset.count);
  let sum = 0;
  let start = 0;
  return fractions.map((fraction, index) => {
    sum += fraction;
    // The cumulative sum is rounded instead of each size, so that splits whose fractions sum to 1 contain each sample once.
    const end = Math.min(dataset.count, Math.round(sum * dataset.count));
    const positions = order.slice(start, end).sort();
    start = end;
    return view(dataset, `${dataset.name} (part ${index + 1} of ${fractions.length})`, positions);
  });
}

/** Reads a dataset into memory, up to `limit` samples. @throws PithError E_DATA if it is empty, or if samples differ in size. */
export async function collect(dataset: Dataset, limit = Number.POSITIVE_INFINITY): Promise<IndexedDataset> {
  const result = await keepInMemory(dataset, limit);
  if (isIndexed(result)) return result;
  throw dataError(`${dataset.name} has samples of different sizes, which cannot be used here.`, {
    hint: "Pad them to one size, with an attention mask if the model has one. Calibration and evaluation accept different sizes.",
  });
}

/** Reads up to `limit` samples into memory; batches of different sizes become a stream. @throws PithError E_DATA if empty, or if types differ. */
export async function keepInMemory(
  dataset: Dataset,
  limit = Number.POSITIVE_INFINITY,
): Promise<Dataset & { readonly count: number }> {
  const { name, classes, synthetic } = dataset;
  const batches: Batch[] = [];
  for await (const batch of take(dataset, limit).batches({ size: 256 })) batches.push(batch);
  const [first] = batches;
  if (first === undefined) throw dataError(`${name} has no samples.`);
  const sizesOf = (batch: Batch) => Object.values(batch).map(({ dims }) => String(dims.slice(1)));
  if (batches.every((batch) => String(sizesOf(batch)) === String(sizesOf(first))))
    return { ...memory(name, joinBatches(batches, name), classes), synthetic };
  return {
    name,
    classes,
    synthetic,
    count: batches.reduce((sum, batch) => sum + sampleCount(batch, name), 0),
    async *batches({ size, dropLast }) {
      for (const batch of batches)
        for (let start = 0; start < rowCount(batch); start += size)
          if (dropLast !== true || start + size <= rowCount(batch)) yield sliceBatch(batch, start, start + size);
    },
  };
}

/** Returns the first batch, with up to `size` samples. @throws PithError E_DATA if there are no samples. */
export async function firstBatch(dataset: Dataset, size = 1): Promise<Batch> {
  for await (const batch of dataset.batches({ size })) return batch;
  throw dataError(`${dataset.name} has no samples.`);
}
