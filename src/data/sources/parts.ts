/** Divides the data at a path into disjoint training, calibration and test samples. Subsets are random, because files are often sorted by class. */

import type { Dataset, IndexedDataset, Part } from "#batches";
import { draw, isIndexed, keepInMemory, setAside, testSeed } from "#batches";
import { dataError, optionError } from "#ir";
import { openSource, type SourceOptions } from "./open.ts";
import { defaultTestCount, readPart, type Source, sourceOfSamples } from "./source.ts";

export interface Parts {
  /** Undefined if the data has a single split of which no part is needed for training. */
  readonly train: Dataset | undefined;
  readonly calibrate: Dataset | undefined;
  readonly text?: Dataset | undefined;
  readonly test: Dataset;
  /** Available test samples, before the limit `test`; undefined for a stream. */
  readonly availableTestCount: number | undefined;
  /** Whether the training samples were taken from the only split; false for a table or array without splits. */
  readonly isDivided: boolean;
  /** Number of all samples, if all subsets were drawn from one split. */
  readonly totalCount?: number | undefined;
  /** Samples from which the test samples are drawn; undefined for a stream. */
  readonly testSource?: IndexedDataset | undefined;
  /** Samples from which the training samples are drawn; undefined for a stream. */
  readonly trainSource?: IndexedDataset | undefined;
}

export interface PartsOptions extends SourceOptions {
  /** By default, this is the test split, or all remaining samples of a table or array without splits. */
  readonly part?: Part | "all" | undefined;
  /** Whether training samples are required; false by default. */
  readonly trains?: boolean;
  /** Number of calibration samples, 0 by default and at most half of the training samples. A single split provides a fifth, or unused samples. */
  readonly calibrate?: number;
  /** Number of training samples from a single split, 0 by default; Infinity requests four fifths. */
  readonly unlabeledTraining?: number;
  /** Minimum number of test samples if a single split is divided: 0 by default, and at most half of the split. */
  readonly minTestSamples?: number;
  /** Whether a model was trained on a part of the test samples. If true, only the fifth that no training uses is tested on. */
  readonly heldOut?: boolean;
  /** Maximum number of test samples; all by default. The selection does not depend on `seed`. */
  readonly test?: number;
  /** Seed of the calibration samples of a training split; 0 by default. */
  readonly seed?: number;
}

/** Share of a single split that training and calibration can take. Small splits provide up to `minCalibrated` samples. */
const maxShareOfOnePart = 0.2;
/** For a useful calibration. */
export const minCalibrated = 32;
/** Test samples that suffice after a training. The others of a single split can then be training samples. */
const testedAfterTraining = 150;
/** Maximum share of training samples that is used for calibration. */
const maxShareOfTraining = 0.5;

/**
 * Opens the data at a path as disjoint splits. Calibration samples are taken from the training samples, or from a single split.
 * @throws PithError E_DATA and E_FILE as `openDataset` does; E_DATA if there are too few samples to divide; E_OPTION if test samples would also be
 * training samples.
 */
export async function openParts(path: string, options: PartsOptions = {}): Promise<Parts> {
  return divideSource(await openSource(path, options), options);
}

async function divideSource(source: Source, options: PartsOptions): Promise<Parts> {
  const {
    calibrate: calibrationCount = 0,
    unlabeledTraining = 0,
    trains = false,
    minTestSamples = 0,
    heldOut = false,
    part,
    test: limit,
    seed = 0,
  } = options;
  const testSubset = (test: Dataset) => ({
    test: limit === undefined ? test : draw(test, limit, testSeed),
    availableTestCount: test.count,
  });
  const withCalibration = async (train: Dataset) => {
    if (calibrationCount === 0) return { train, calibrate: undefined };
    const { drawn, rest } = await drawPart(train, calibrationCount, (count) => maxShareOfTraining * count, seed);
    return { train: rest, calibrate: drawn };
  };
  if (part === "train" || part === "all") {
    if (trains || calibrationCount + unlabeledTraining > 0) {
      const text = `\`part: "${part}"\`: the result would be tested on samples that it is trained or calibrated on.`;
      const hint = [
        "Omit `part`: all other samples are then used for testing.",
        'Or choose options that need no samples, for example `importance: "magnitude"`.',
      ];
      throw optionError(text, { hint });
    }
    if (part === "all") return { ...untrainedParts, ...testSubset(await openUndivided(source)) };
    const total = source.isDivisible ? (await source.openDefault()).count : undefined;
    return { ...untrainedParts, ...testSubset(await readPart(source, part)), totalCount: total };
  }
  const [train, test] = [await source.parts.train?.(), await source.parts.test?.()];
  // The function of a module can return one dataset for both splits.
  if (train !== undefined && train === test) return divideSource(sourceOfSamples(train), options);
  if (train !== undefined && test !== undefined) {
    const sources = { trainSource: indexedOrUndefined(train), testSource: indexedOrUndefined(test) };
    const testSamples = heldOut ? await readPart(sourceOfSamples(test), "test") : test;
    return { ...(await withCalibration(train)), ...testSubset(testSamples), ...sources, isDivided: false };
  }
  const singleSplit = train ?? test ?? (await source.openDefault());
  const indexedSplit = indexedOrUndefined(singleSplit);
  const sources = { trainSource: indexedSplit, testSource: indexedSplit };
  // The number of samples in a stream is unknown, so a share of it cannot be computed.
  const trainCount =
    singleSplit.count === undefined && unlabeledTraining === Number.POSITIVE_INFINITY ? 0 : unlabeledTraining;
  const minTested = (count: number): number =>
    Math.max(defaultTestCount(count), Math.min(minTestSamples, Math.ceil(count / 2)));
  const maxTaken = (count: number): number => {
    const sparedCount = trainCount === 0 ? count : Math.max(minTested(count), Math.min(testedAfterTraining, count / 2));
    return trainCount === Number.POSITIVE_INFINITY
      ? count - minTested(count)
      : Math.max(
          maxShareOfOnePart * count,
          Math.min(minCalibrated, count / 2),
          count - Math.min(sparedCount, limit ?? count),
        );
  };
  if (
    indexedSplit !== undefined &&
    (heldOut || trainCount > 0 || (source.isDivisible && (trains || part === "test")))
  ) {
    // Training samples are the first ones of a constant random order, so no training uses the last fifth.
    const testCountOf = (count: number): number => {
      if (heldOut) return defaultTestCount(count);
      if (source.isDivisible) return minTested(count);
      return Math.max(minTested(count), count - Math.min(trainCount + calibrationCount, maxTaken(count)));
    };
    const [trainSamples, lastSamples] = [
      await readPart(sourceOfSamples(indexedSplit), "train", testCountOf),
      await readPart(sourceOfSamples(indexedSplit), "test", testCountOf),
    ];
    return {
      ...(await withCalibration(trainSamples)),
      ...testSubset(lastSamples),
      isDivided: !source.isDivisible,
      totalCount: indexedSplit.count,
      ...sources,
    };
  }
  if (trainCount + calibrationCount === 0) return { ...untrainedParts, ...testSubset(singleSplit), ...sources };
  const { drawn, rest } = await drawPart(singleSplit, trainCount + calibrationCount, maxTaken, testSeed, limit);
  const availableTestCount = singleSplit.count === undefined ? undefined : singleSplit.count - (drawn.count ?? 0);
  const testParts = { ...testSubset(rest), availableTestCount, totalCount: singleSplit.count, ...sources };
  return trainCount === 0
    ? { train: undefined, calibrate: drawn, ...testParts, isDivided: false }
    : { ...(await withCalibration(drawn)), ...testParts, isDivided: true };
}

const indexedOrUndefined = (dataset: Dataset): IndexedDataset | undefined => (isIndexed(dataset) ? dataset : undefined);

/** Divides a dataset into `requested` random samples, at most `max`, and at most `restCount` others. */
async function drawPart(
  dataset: Dataset,
  requested: number,
  max: (count: number) => number,
  seed: number,
  restCount = Number.POSITIVE_INFINITY,
): Promise<{ readonly drawn: Dataset; readonly rest: Dataset }> {
  const count = dataset.count === undefined ? requested : Math.min(requested, Math.floor(max(dataset.count)));
  if (count === 0) {
    const samples = dataset.count === 1 ? "1 sample" : `${dataset.count} samples`;
    throw dataError(`${dataset.name} has ${samples}, too few to set some aside for calibration.`, {
      hint: `Give ${minCalibrated} or more: those that are set aside, and others to test on.`,
    });
  }
  // For a stream, the first samples are drawn and kept in memory. `rest` skips these samples.
  if (!isIndexed(dataset)) {
    const { drawn, rest } = setAside(dataset, count, seed);
    return { drawn: await keepInMemory(drawn), rest };
  }
  if (restCount >= dataset.count - count) return setAside(dataset, count, seed);
  const { drawn, rest } = setAside(dataset, restCount, seed);
  return { drawn: draw(rest, count, seed), rest: drawn };
}

const untrainedParts = { train: undefined, calibrate: undefined, isDivided: false } as const;

/** @throws PithError E_OPTION if the source has several splits. */
function openUndivided({ owner, parts, openDefault }: Source): Promise<Dataset> {
  if (parts.train === undefined || parts.test === undefined) return openDefault();
  throw optionError(`\`part: "all"\`: ${owner} is already split into "train" and "test".`);
}
