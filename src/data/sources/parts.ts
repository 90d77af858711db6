/** Provides disjoint training, calibration and test samples. Subsets are random, because files are often sorted by class. */
import { PithError } from "../../core/errors.ts";
import { isIndexed } from "../batches/indexed.ts";
import { collect, draw, setAside, skip, take } from "../batches/select.ts";
import type { Dataset, IndexedDataset, Part } from "../batches/types.ts";
import { openSource, type SourceReading } from "./open.ts";
import { ofSamples, readPart, type Source, usuallyTested } from "./source.ts";

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
const mostOfOnePart = 0.2;
/** Fewer samples are too few for measuring or fitting. */
export const leastToCalibrate = 32;
/** Maximum share of training samples used for calibration. */
const mostOfTraining = 0.5;

/**
 * Opens the data at a path as disjoint splits. Calibration samples are taken from the training samples, or from the test samples
 * of a source with one split. Same data, options and seed give the same splits.
 * @throws PithError E_DATA and E_FILE as `openDataset`, and E_DATA for too few samples to divide; E_OPTION if test samples would
 * be training samples.
 * @example
 * const { train, calibrate, test } = await openParts("mnist/", { calibrate: 200, seed: 1 });
 */
export async function openParts(path: string, options: PartsOptions = {}): Promise<Parts> {
  return partsOf(await openSource(path, options), options);
}

async function partsOf(source: Source, options: PartsOptions): Promise<Parts> {
  const {
    calibrate: wanted = 0,
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
    if (wanted === 0) return { train, calibrate: undefined };
    const { drawn, rest } = await divide(train, wanted, (count) => mostOfTraining * count, seed);
    return { train: rest, calibrate: drawn };
  };
  if (part === "train" || part === "all") {
    if (trains || wanted + trainAlone > 0) {
      const text = `\`part: "${part}"\`: the result would be tested on samples that it is trained or calibrated on.`;
      const hint = [
        "Omit `part`: all other samples are then used for testing.",
        'Or choose options that need no samples, for example `importance: "magnitude"`.',
      ];
      throw new PithError("E_OPTION", text, { hint });
    }
    if (part === "all") return { ...nothing, ...tests(await wholeOf(source)) };
    const whole = source.divisible ? (await source.usual()).count : undefined;
    return { ...nothing, ...tests(await readPart(source, part)), whole };
  }
  const [train, test] = [await source.parts.train?.(), await source.parts.test?.()];
  // A function of a module can return one data set for both splits.
  if (train !== undefined && train === test) return partsOf(ofSamples(train), options);
  if (train !== undefined && test !== undefined) {
    const sources = { trainSource: indexed(train), testSource: indexed(test) };
    const tested = heldOut ? await readPart(ofSamples(test), "test") : test;
    return { ...(await learning(train)), ...tests(tested), ...sources, divided: false };
  }
  const only = train ?? test ?? (await source.usual());
  const all = indexed(only);
  const sources = { trainSource: all, testSource: all };
  // A fifth of a stream is undefined.
  const trained = only.count === undefined && trainAlone === Number.POSITIVE_INFINITY ? 0 : trainAlone;
  const least = (count: number): number => Math.max(usuallyTested(count), Math.min(leastTested, Math.ceil(count / 2)));
  const most = (count: number): number =>
    trained === Number.POSITIVE_INFINITY ? count - least(count) : Math.max(mostAlone(count), count - (limit ?? count));
  if (all !== undefined && (heldOut || trained > 0 || (source.divisible && (trains || part === "test")))) {
    // Training samples are the first ones of one fixed order, so that no training uses the last fifth.
    const tested = (count: number): number => {
      if (heldOut) return usuallyTested(count);
      return source.divisible ? least(count) : Math.max(least(count), count - Math.min(trained + wanted, most(count)));
    };
    const [first, last] = [
      await readPart(ofSamples(all), "train", tested),
      await readPart(ofSamples(all), "test", tested),
    ];
    return { ...(await learning(first)), ...tests(last), divided: !source.divisible, whole: all.count, ...sources };
  }
  if (trained + wanted === 0) return { ...nothing, ...tests(only), ...sources };
  const { drawn, rest } = await divide(only, trained + wanted, most, seed, limit);
  const testable = only.count === undefined ? undefined : only.count - (drawn.count ?? 0);
  const others = { ...tests(rest), testable, whole: only.count, ...sources };
  return trained === 0
    ? { train: undefined, calibrate: drawn, ...others, divided: false }
    : { ...(await learning(drawn)), ...others, divided: true };
}

const indexed = (dataset: Dataset): IndexedDataset | undefined => (isIndexed(dataset) ? dataset : undefined);

function mostAlone(count: number): number {
  return Math.max(mostOfOnePart * count, Math.min(leastToCalibrate, count / 2));
}

/** Draws up to `wanted` samples, at most `most`, and returns the rest; of `kept` if fewer are needed. */
async function divide(
  whole: Dataset,
  wanted: number,
  most: (count: number) => number,
  seed: number,
  kept = Number.POSITIVE_INFINITY,
): Promise<{ readonly drawn: Dataset; readonly rest: Dataset }> {
  const count = whole.count === undefined ? wanted : Math.min(wanted, Math.floor(most(whole.count)));
  if (count === 0) {
    const found = whole.count === 1 ? "1 sample" : `${whole.count} samples`;
    throw new PithError("E_DATA", `${whole.name} has ${found}, too few to set some aside for calibration.`, {
      hint: `Give ${leastToCalibrate} or more: those that are set aside, and others to test on.`,
    });
  }
  if (isIndexed(whole)) {
    if (kept >= whole.count - count) return setAside(whole, count, seed);
    const { drawn, rest } = setAside(whole, kept, seed);
    return { drawn: draw(rest, count, seed), rest: drawn };
  }
  // The first samples of a stream are kept in memory and skipped from then on.
  return { drawn: await collect(take(whole, count)), rest: skip(whole, count) };
}

const nothing = { train: undefined, calibrate: undefined, divided: false } as const;

/** @throws PithError E_OPTION if there are several splits. */
function wholeOf({ owner, parts, usual }: Source): Promise<Dataset> {
  if (parts.train === undefined || parts.test === undefined) return usual();
  throw new PithError("E_OPTION", `\`part: "all"\`: ${owner} is already split into "train" and "test".`);
}
