/** Provides disjoint training, calibration and test samples. Subsets are random, because files are often sorted by class. */
import { PithError } from "../errors.ts";
import { isIndexed } from "./indexed.ts";
import { openSource, type SourceReading } from "./open.ts";
import { collect, draw, setAside, skip, take } from "./select.ts";
import { ofSamples, readPart, type Source, usuallyTested } from "./source.ts";
import type { Dataset, IndexedDataset, Part } from "./types.ts";

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
  /** All samples of data without splits; undefined for a stream. */
  readonly all?: IndexedDataset | undefined;
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
  const all = source.divisible ? await source.usual() : undefined;
  return { ...(await drawnFrom(source, options)), ...(all !== undefined && isIndexed(all) ? { all } : {}) };
}

async function drawnFrom(source: Source, options: PartsOptions): Promise<Parts> {
  const {
    calibrate: wanted = 0,
    trainAlone = 0,
    trains = false,
    leastTested = 0,
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
  const tested = (count: number): number => Math.max(usuallyTested(count), Math.min(leastTested, count / 2));
  const { train, test, whole } = await readParts(source, source.divisible && (trains || part !== undefined), tested);
  // A function of a module can return one data set for both splits.
  if (train !== undefined && train === test) return partsOf(ofSamples(train), options);
  if (train !== undefined && test !== undefined)
    return { ...(await learning(train)), ...tests(test), divided: false, whole };
  const only = train ?? test ?? (await source.usual());
  // A fifth of a stream is undefined.
  const trained = only.count === undefined && trainAlone === Number.POSITIVE_INFINITY ? 0 : trainAlone;
  if (trained + wanted === 0) return { ...nothing, ...tests(only) };
  const most = (count: number): number =>
    trained === Number.POSITIVE_INFINITY ? count - tested(count) : Math.max(mostAlone(count), count - (limit ?? count));
  const { drawn, rest } = await divide(only, trained + wanted, most, seed, limit);
  const testable = only.count === undefined ? undefined : only.count - (drawn.count ?? 0);
  const others = { ...tests(rest), testable, whole: only.count };
  return trained === 0
    ? { train: undefined, calibrate: drawn, ...others, divided: false }
    : { ...(await learning(drawn)), ...others, divided: true };
}

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

interface Both extends Pick<Parts, "train" | "whole"> {
  readonly test: Dataset | undefined;
}

async function readParts(source: Source, divides: boolean, tested: (count: number) => number): Promise<Both> {
  const { parts } = source;
  if (!divides) return { train: await parts.train?.(), test: await parts.test?.() };
  const [train, test] = [await readPart(source, "train", tested), await readPart(source, "test", tested)];
  // A stream is not divided.
  return train === test ? { train: undefined, test } : { train, test, whole: (await source.usual()).count };
}
