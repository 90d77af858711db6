/**
 * What a task needs of its data: disjoint training, calibration and test samples.
 *
 * Where not all samples of a part are wanted, those that are wanted are drawn at random: files are often sorted by class, and their first
 * samples are then all of one kind.
 */
import { PithError } from "../errors.ts";
import { isIndexed } from "./indexed.ts";
import { type OpenDatasetOptions, openDataset } from "./open.ts";
import { collect, draw, setAside, skip, split, take } from "./select.ts";
import type { Dataset, Part } from "./types.ts";

export interface Parts {
  /** Undefined where the source has one part only, unless `trainAlone` takes some of it. */
  readonly train: Dataset | undefined;
  /** Undefined where none was asked for. */
  readonly calibrate: Dataset | undefined;
  readonly test: Dataset;
  /** How many samples `test` could have; undefined for a stream. */
  readonly testable: number | undefined;
  /** `train` was taken from the only part. */
  readonly divided: boolean;
}

export interface PartsOptions extends Omit<OpenDatasetOptions, "part"> {
  /**
   * Samples to calibrate with (0): as many, or half of the samples to train on; of a source with one part what `test` leaves, or a fifth of it, of few
   * samples up to 32 and half of them.
   */
  readonly calibrate?: number;
  /** Samples to train on where the source has one part (0), as many as it could have to calibrate with; Infinity: four fifths of it. */
  readonly trainAlone?: number;
  /** Test samples, at most (all): of one part the same ones, whatever else is wanted of it. */
  readonly test?: number;
  /** Decides which samples are drawn (0). */
  readonly seed?: number;
}

/** Of a source with one part, most samples are test samples; of few at least half. */
const mostOfOnePart = 0.2;
/** Fewer say too little of what is measured or fitted on them. */
const leastToCalibrate = 32;
/** Of samples to train on, most are there to train on. */
const mostOfTraining = 0.5;

/**
 * Opens the data at a path in disjoint parts. Samples to calibrate with are taken away from those to train on, or, where the source has one part
 * only, from the test samples. Same data, options and seed, same parts.
 * @throws PithError E_DATA and E_FILE as `openDataset` does, and E_DATA where there are too few samples to divide.
 * @example
 * const { train, calibrate, test } = await openParts("mnist/", { calibrate: 200, seed: 1 });
 */
export async function openParts(path: string, options: PartsOptions = {}): Promise<Parts> {
  const { calibrate: wanted = 0, trainAlone = 0, test: limit, seed = 0, ...reading } = options;
  const tests = (test: Dataset) => ({
    test: limit === undefined ? test : draw(test, limit, seed),
    testable: test.count,
  });
  const learning = async (train: Dataset) => {
    if (wanted === 0) return { train, calibrate: undefined };
    const { drawn, rest } = await divide(train, wanted, (count) => mostOfTraining * count, seed);
    return { train: rest, calibrate: drawn };
  };
  const [train, test] = await bothParts(path, reading);
  if (train !== undefined && test !== undefined) return { ...(await learning(train)), ...tests(test), divided: false };
  const only = train ?? test ?? (await openDataset(path, reading));
  // A stream has no fifth.
  const trained = only.count === undefined && trainAlone === Number.POSITIVE_INFINITY ? 0 : trainAlone;
  if (trained + wanted === 0) return { train: undefined, calibrate: undefined, ...tests(only), divided: false };
  const most = (count: number): number =>
    trained === Number.POSITIVE_INFINITY
      ? (1 - mostOfOnePart) * count
      : Math.max(mostAlone(count), count - (limit ?? count));
  const { drawn, rest } = await divide(only, trained + wanted, most, seed, limit);
  const testable = only.count === undefined ? undefined : only.count - (drawn.count ?? 0);
  const tested = { ...tests(rest), testable };
  return trained === 0
    ? { train: undefined, calibrate: drawn, ...tested, divided: false }
    : { ...(await learning(drawn)), ...tested, divided: true };
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
    const found = `${whole.name} has ${whole.count} samples`;
    throw new PithError("E_DATA", `${found}, too few to set some aside for calibration.`);
  }
  if (isIndexed(whole)) {
    if (kept >= whole.count - count) return setAside(whole, count, seed);
    const { drawn, rest } = setAside(whole, kept, seed);
    return { drawn: draw(rest, count, seed), rest: drawn };
  }
  // A stream has an order of its own: what comes first is kept in memory, and left out from then on.
  return { drawn: await collect(take(whole, count)), rest: skip(whole, count) };
}

async function bothParts(
  path: string,
  reading: OpenDatasetOptions,
): Promise<readonly [train: Dataset | undefined, test: Dataset | undefined]> {
  const [train, test] = await Promise.all([partIfThere(path, "train", reading), partIfThere(path, "test", reading)]);
  // A module that exports one data set and no parts gives it for both.
  if (train === undefined || train !== test) return [train, test];
  if (!isIndexed(train)) return [undefined, test];
  const [most, few] = split(train, [0.8, 0.2], 0);
  return [most, few];
}

async function partIfThere(path: string, part: Part, reading: OpenDatasetOptions): Promise<Dataset | undefined> {
  try {
    return await openDataset(path, { ...reading, part });
  } catch (error) {
    if (error instanceof PithError && error.code === "E_DATA") return undefined;
    throw error;
  }
}
