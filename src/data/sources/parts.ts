/** Provides disjoint training, calibration and test samples. Subsets are random, because files are often sorted by class. */
import { PithError } from "../../core/errors.ts";
import { isIndexed } from "../batches/indexed.ts";
import { collect, draw, setAside, skip, take } from "../batches/select.ts";
import type { Dataset, IndexedDataset, Part } from "../batches/types.ts";
import { openSource, type SourceReading } from "./open.ts";
import { defaultTestCount, ofSamples, readPart, type Source } from "./source.ts";

export interface Parts {
  /** Undefined if the source has one split, unless `trains` or `trainAlone` takes some of it. */
  readonly train: Dataset | undefined;
  readonly calibrate: Dataset | undefined;
  readonly test: Dataset;
  /** Number of available test samples; undefined for a stream. */
  readonly testable: number | undefined;
  /** Whether `train` was taken from the only split. */
  readonly divided: boolean;
  /** Total number of samples, if all were drawn from one split. */
  readonly whole?: number | undefined;
  /** All samples that test samples are drawn from; undefined for a stream. */
  readonly testSource?: IndexedDataset | undefined;
  /** All samples that training samples are drawn from; undefined for a stream. */
  readonly trainSource?: IndexedDataset | undefined;
}

export interface PartsOptions extends SourceReading {
  /**
   * The split to test on; default: the test split, or for a table or array without splits all remaining samples. "train" and,
   * without splits, "all" are for tasks without training and calibration.
   */
  readonly part?: Part | "all" | undefined;
  /** Require training samples (false): four fifths of a table or array without splits. */
  readonly trains?: boolean;
  /**
   * Number of calibration samples (0), at most half of the training samples. With one split, they come from the samples that
   * `test` leaves, or are at most a fifth; small splits give up to 32, but at most half.
   */
  readonly calibrate?: number;
  /** Number of training samples if the source has one split (0), limited like `calibrate`; Infinity: four fifths. */
  readonly trainAlone?: number;
  /** Minimum number of test samples if one split is divided (0), but at most half of it. */
  readonly leastTested?: number;
  /** Test only on the fifth of the test samples that no training uses (false), because a model was trained on the rest. */
  readonly heldOut?: boolean;
  /** Maximum number of test samples (all): the same ones for all other options. */
  readonly test?: number;
  /** Seed of the random subsets (0). */
  readonly seed?: number;
}

/** Maximum share of a single split that is not used for testing, except for small splits. */
const maxShareOfOnePart = 0.2;
/** Fewer samples are too few for measuring or fitting. */
export const minCalibrated = 32;
/** Maximum share of training samples used for calibration. */
const maxShareOfTraining = 0.5;

/**
 * Opens the data at a path as disjoint splits. Calibration samples are taken from the training samples, or from the test samples
 * of a source with one split. Same data, options and seed give the same splits.
 * @throws PithError E_DATA and E_FILE as `openDataset`, and E_DATA for too few samples to divide; E_OPTION if test samples would
 * be training samples.
 * @example
 * const { train, calibrate, test } = await openParts("mnist/", { calibrate: 200, seed: 1 });
 */
export async function openParts(path: string, options: PartsOptions = {}): Promise<Parts> {
  return divideSource(await openSource(path, options), options);
}

async function divideSource(source: Source, options: PartsOptions): Promise<Parts> {
  const {
    calibrate: calibrationCount = 0,
    trainAlone = 0,
    trains = false,
    leastTested = 0,
    heldOut = false,
    part,
    test: limit,
    seed = 0,
  } = options;
  const tests = (test: Dataset) => ({
    test: limit === undefined ? test : draw(test, limit, seed),
    testable: test.count,
  });
  const learning = async (train: Dataset) => {
    if (calibrationCount === 0) return { train, calibrate: undefined };
    const { drawn, rest } = await divide(train, calibrationCount, (count) => maxShareOfTraining * count, seed);
    return { train: rest, calibrate: drawn };
  };
  if (part === "train" || part === "all") {
    if (trains || calibrationCount + trainAlone > 0) {
      const text = `\`part: "${part}"\`: the result would be tested on samples that it is trained or calibrated on.`;
      const hint = [
        "Omit `part`: all other samples are then used for testing.",
        'Or choose options that need no samples, for example `importance: "magnitude"`.',
      ];
      throw new PithError("E_OPTION", text, { hint });
    }
    if (part === "all") return { ...nothing, ...tests(await wholeOf(source)) };
    const total = source.divisible ? (await source.usual()).count : undefined;
    return { ...nothing, ...tests(await readPart(source, part)), whole: total };
  }
  const [train, test] = [await source.parts.train?.(), await source.parts.test?.()];
  // A function of a module can return one data set for both splits.
  if (train !== undefined && train === test) return divideSource(ofSamples(train), options);
  if (train !== undefined && test !== undefined) {
    const sources = { trainSource: indexed(train), testSource: indexed(test) };
    const tested = heldOut ? await readPart(ofSamples(test), "test") : test;
    return { ...(await learning(train)), ...tests(tested), ...sources, divided: false };
  }
  const only = train ?? test ?? (await source.usual());
  const all = indexed(only);
  const sources = { trainSource: all, testSource: all };
  // A fifth of a stream is undefined.
  const trainCount = only.count === undefined && trainAlone === Number.POSITIVE_INFINITY ? 0 : trainAlone;
  const minTested = (count: number): number =>
    Math.max(defaultTestCount(count), Math.min(leastTested, Math.ceil(count / 2)));
  const maxDrawn = (count: number): number =>
    trainCount === Number.POSITIVE_INFINITY
      ? count - minTested(count)
      : Math.max(maxShareOfOnePart * count, Math.min(minCalibrated, count / 2), count - (limit ?? count));
  if (all !== undefined && (heldOut || trainCount > 0 || (source.divisible && (trains || part === "test")))) {
    // Training samples are the first ones of one fixed order, so that no training uses the last fifth.
    const tested = (count: number): number => {
      if (heldOut) return defaultTestCount(count);
      if (source.divisible) return minTested(count);
      return Math.max(minTested(count), count - Math.min(trainCount + calibrationCount, maxDrawn(count)));
    };
    const [first, last] = [
      await readPart(ofSamples(all), "train", tested),
      await readPart(ofSamples(all), "test", tested),
    ];
    return { ...(await learning(first)), ...tests(last), divided: !source.divisible, whole: all.count, ...sources };
  }
  if (trainCount + calibrationCount === 0) return { ...nothing, ...tests(only), ...sources };
  const { drawn, rest } = await divide(only, trainCount + calibrationCount, maxDrawn, seed, limit);
  const testable = only.count === undefined ? undefined : only.count - (drawn.count ?? 0);
  const tested = { ...tests(rest), testable, whole: only.count, ...sources };
  return trainCount === 0
    ? { train: undefined, calibrate: drawn, ...tested, divided: false }
    : { ...(await learning(drawn)), ...tested, divided: true };
}

const indexed = (dataset: Dataset): IndexedDataset | undefined => (isIndexed(dataset) ? dataset : undefined);

/**
 * Draws samples at random.
 * @param requested their number, at most `max`.
 * @param restCount the maximum number of samples in `rest`.
 */
async function divide(
  dataset: Dataset,
  requested: number,
  max: (count: number) => number,
  seed: number,
  restCount = Number.POSITIVE_INFINITY,
): Promise<{ readonly drawn: Dataset; readonly rest: Dataset }> {
  const count = dataset.count === undefined ? requested : Math.min(requested, Math.floor(max(dataset.count)));
  if (count === 0) {
    const samples = dataset.count === 1 ? "1 sample" : `${dataset.count} samples`;
    throw new PithError("E_DATA", `${dataset.name} has ${samples}, too few to set some aside for calibration.`, {
      hint: `Give ${minCalibrated} or more: those that are set aside, and others to test on.`,
    });
  }
  // The first samples of a stream are kept in memory and skipped from then on.
  if (!isIndexed(dataset)) return { drawn: await collect(take(dataset, count)), rest: skip(dataset, count) };
  if (restCount >= dataset.count - count) return setAside(dataset, count, seed);
  const { drawn, rest } = setAside(dataset, restCount, seed);
  return { drawn: draw(rest, count, seed), rest: drawn };
}

const nothing = { train: undefined, calibrate: undefined, divided: false } as const;

/** @throws PithError E_OPTION if there are several splits. */
function wholeOf({ owner, parts, usual }: Source): Promise<Dataset> {
  if (parts.train === undefined || parts.test === undefined) return usual();
  throw new PithError("E_OPTION", `\`part: "all"\`: ${owner} is already split into "train" and "test".`);
}
