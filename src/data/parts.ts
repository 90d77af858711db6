/**
 * What a task needs of its data: disjoint training, calibration and test samples.
 *
 * Where not all samples of a part are wanted, those that are wanted are drawn at random: files are often sorted by class, and their first
 * samples are then all of one kind.
 */
import { PithError } from "../errors.ts";
import { isIndexed } from "./indexed.ts";
import { openSource, type SourceReading } from "./open.ts";
import { collect, draw, setAside, skip, take } from "./select.ts";
import { ofSamples, readPart, type Source, usuallyTested } from "./source.ts";
import type { Dataset, IndexedDataset, Part } from "./types.ts";

export interface Parts {
  /** Undefined where the source has one part only, unless `trains` or `trainAlone` takes some of it. */
  readonly train: Dataset | undefined;
  /** Undefined where none was asked for. */
  readonly calibrate: Dataset | undefined;
  readonly test: Dataset;
  /** How many samples `test` could have; undefined for a stream. */
  readonly testable: number | undefined;
  /** `train` was taken from the only part. */
  readonly divided: boolean;
  /** How many samples there are in all, where the parts were drawn from one. */
  readonly whole?: number | undefined;
  /** All samples of data without parts, whatever is drawn from them; undefined for a stream. */
  readonly all?: IndexedDataset | undefined;
}

export interface PartsOptions extends SourceReading {
  /**
   * The part to test on. Left out: the test part; of a table or an array without parts all samples that `calibrate` and `trains` leave. "train" and, of
   * data without parts, "all" are for what is neither trained nor calibrated.
   */
  readonly part?: Part | "all" | undefined;
  /** There must be samples to train on (false): four fifths of a table or an array without parts. */
  readonly trains?: boolean;
  /**
   * Samples to calibrate with (0): as many, or half of the samples to train on; of a source with one part what `test` leaves, or a fifth of it, of few
   * samples up to 32 and half of them.
   */
  readonly calibrate?: number;
  /** Number of training samples where the source has one part (0), at most as many as it could have to calibrate with; Infinity: four fifths of it. */
  readonly trainAlone?: number;
  /** Least number of test samples where one part is divided into training and test samples (0), but at most half of the part. */
  readonly leastTested?: number;
  /** Test samples, at most (all): of one part the same ones, whatever else is wanted of it. */
  readonly test?: number;
  /** Decides which samples are drawn (0). */
  readonly seed?: number;
}

/** Of a source with one part, most samples are test samples; of few at least half. */
const mostOfOnePart = 0.2;
/** Fewer say too little of what is measured or fitted on them. */
export const leastToCalibrate = 32;
/** Of samples to train on, most are there to train on. */
const mostOfTraining = 0.5;

/**
 * Opens the data at a path in disjoint parts. Samples to calibrate with are taken away from those to train on, or, where the source has one part
 * only, from the test samples. Same data, options and seed, same parts.
 * @throws PithError E_DATA and E_FILE as `openDataset` does, and E_DATA where there are too few samples to divide; E_OPTION where results would be
 * tested on the samples that they are made from.
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
      throw new PithError("E_OPTION", text, { hint: "Leave `part` out: all others are tested on." });
    }
    if (part === "all") return { ...nothing, ...tests(await wholeOf(source)) };
    const whole = source.divisible ? (await source.usual()).count : undefined;
    return { ...nothing, ...tests(await readPart(source, part)), whole };
  }
  const tested = (count: number): number => Math.max(usuallyTested(count), Math.min(leastTested, count / 2));
  const { train, test, whole } = await readParts(source, source.divisible && (trains || part !== undefined), tested);
  // A function of a module may give one data set for both.
  if (train !== undefined && train === test) return partsOf(ofSamples(train), options);
  if (train !== undefined && test !== undefined)
    return { ...(await learning(train)), ...tests(test), divided: false, whole };
  const only = train ?? test ?? (await source.usual());
  // A stream has no fifth.
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

/** As many samples as are wanted, at most what the whole has to give, and the rest; of it `kept`, as `draw` finds them in the whole, if fewer are needed. */
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
  // A stream has an order of its own: what comes first is kept in memory, and left out from then on.
  return { drawn: await collect(take(whole, count)), rest: skip(whole, count) };
}

const nothing = { train: undefined, calibrate: undefined, divided: false } as const;

/** @throws PithError E_OPTION where there are several parts. */
function wholeOf({ owner, parts, usual }: Source): Promise<Dataset> {
  if (parts.train === undefined || parts.test === undefined) return usual();
  throw new PithError("E_OPTION", `\`part: "all"\`: ${owner} has parts of its own, "train" and "test".`);
}

interface Both extends Pick<Parts, "train" | "whole"> {
  readonly test: Dataset | undefined;
}

/** Both parts of a source, drawn from its only one where `divides`. */
async function readParts(source: Source, divides: boolean, tested: (count: number) => number): Promise<Both> {
  const { parts } = source;
  if (!divides) return { train: await parts.train?.(), test: await parts.test?.() };
  const [train, test] = [await readPart(source, "train", tested), await readPart(source, "test", tested)];
  // A stream is not divided.
  return train === test ? { train: undefined, test } : { train, test, whole: (await source.usual()).count };
}
