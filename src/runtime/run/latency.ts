/**
 * Measures speed as a ratio. Models run in each round, so a busy machine slows all of them and the ratio does not change.
 * A model's speed is the median over rounds of (time of the first model / its time). Threads do not spin between runs of several models.
 * The order changes from round to round. Otherwise, a model would run after the same other model, whose data are in the caches.
 */

import { type Batch, type Model, optionError, storedBytes, throwIfAborted } from "#ir";
import { processorTime, threadCount } from "#platform";
import type { Engine, Session } from "../../core/engine/engine.ts";
import { quantile } from "../../core/math/confidence-interval.ts";
import { timedInputs } from "./timed-inputs.ts";

/** Minimum milliseconds of a model's runs in a round. Shorter runs are repeated, because interruptions would dominate. */
const minStretch = 10;

/** Milliseconds after which the warm-up of a slow model ends. */
const maxWarmUp = 3000;
const minWarmUpRuns = 2;

const minRounds = 3;

/** Maximum bytes of weights in memory. Larger models are loaded one at a time. */
const maxTogetherBytes = 2 ** 29;

export interface LatencyOptions {
  readonly rounds?: number;
  /** Seconds after which no further round begins; the minimum is three rounds. */
  readonly seconds?: number | undefined;
  /** Number of warm-up runs (5), in which buffers are allocated and browsers compile code. */
  readonly warmUp?: number;
  /** Threads inside an operator (default: all of the machine). */
  readonly threads?: number | undefined;
  readonly signal?: AbortSignal;
  readonly progress?: (done: number, total?: number) => void;
}

export interface Spread {
  readonly median: number;
  /** 10th and 90th percentile over the rounds. */
  readonly low: number;
  readonly high: number;
}

export interface Latency {
  /** Median run of a round, in milliseconds. */
  readonly milliseconds: Spread;
  /** Speed relative to the first model: 2 means half the time. */
  readonly speedup: Spread;
  /** Milliseconds to load the model into a session, measured once. */
  readonly load: number;
  /** Milliseconds of processor time per run over all threads; undefined if it cannot be read (browsers). */
  readonly processorTime?: number;
}

export interface RunTimes extends Latency {
  /** Percentiles of individual runs, in milliseconds. */
  readonly runs: { readonly p50: number; readonly p90: number };
}

export interface LatencyReport {
  readonly models: readonly RunTimes[];
  readonly rounds: number;
  readonly repeats: number;
  readonly threads: number;
  /** Whether a model's 90th percentile is more than twice its 10th, which shows that the machine was too busy. */
  readonly unsteady: boolean;
}

/**
 * Times models relative to the first of them, interleaved: one round after the other, or several in a row for models above 512 MiB together.
 * @param feeds Inputs by name: one batch for all models, or one for each (default: a text for language models and models with a tokenizer, otherwise one random sample of a typical size).
 * @throws PithError E_OPTION without models, E_STOPPED on the signal.
 * @example
 * const { models } = await latency(engine, [original, smaller], { input: float32([1, 784], pixels) });
 * console.log(models[1]?.speedup.median); // 1.7
 */
export async function latency(
  engine: Engine,
  models: readonly Model[],
  feeds?: Batch | readonly Batch[],
  options: LatencyOptions = {},
): Promise<LatencyReport> {
  requireWork(models, options);
  const inputs =
    feeds === undefined
      ? (await timedInputs(engine, models, { signal: options.signal })).feeds
      : models.map((_, index) => (isList(feeds) ? feeds[index] : feeds) ?? {});
  return timeModels(engine, models, inputs, options);
}

function requireWork(models: readonly Model[], { rounds = 30 }: LatencyOptions): void {
  if (models.length === 0 || !(rounds >= 1)) throw optionError("Timing needs at least one model and one round.");
}

/** Times models as `latency` does, on given batches. */
export async function timeModels(
  engine: Engine,
  models: readonly Model[],
  inputs: readonly Batch[],
  options: LatencyOptions = {},
): Promise<LatencyReport> {
  const { rounds: maxRounds = 30, seconds = Number.POSITIVE_INFINITY, warmUp = 5, signal } = options;
  requireWork(models, options);
  const threads = options.threads ?? threadCount();
  const totalBytes = models.reduce((sum, { graph }) => sum + storedBytes(graph), 0);
  const isOneAtATime = models.length > 1 && totalBytes > maxTogetherBytes;
  const sessions: (Session | undefined)[] = [];
  const loadTimes: number[] = [];
  const releaseAll = async (): Promise<void> => {
    for (const session of sessions.splice(0)) await session?.release();
  };
  const openers = models.map((model, index) => async (): Promise<Session> => {
    const openedSession = sessions[index];
    if (openedSession !== undefined) return openedSession;
    if (isOneAtATime) await releaseAll();
    const start = performance.now();
    const session = await engine.load(model, { threads, amongOthers: models.length > 1 });
    loadTimes[index] ??= performance.now() - start;
    sessions[index] = session;
    // The first run after loading is slow.
    if (isOneAtATime) await session.run(inputs[index] ?? {});
    return session;
  });
  try {
    if (!isOneAtATime) for (const openSession of openers) await openSession();
    const runTimesByModel: number[][] = models.map(() => []);
    const timeRuns = async (
      index: number,
      session: Session | undefined,
      count: number,
      singleTimes?: number[],
    ): Promise<number> => {
      const times = new Float64Array(count);
      let before = performance.now();
      for (let run = 0; run < count; run++) {
        await session?.run(inputs[index] ?? {});
        const now = performance.now();
        times[run] = now - before;
        before = now;
      }
      singleTimes?.push(...times);
      return quantile(times.sort(), 0.5);
    };
    let [fastest, slowest] = [Number.POSITIVE_INFINITY, 0];
    for (const [index, openSession] of openers.entries()) {
      const session = await openSession();
      const start = performance.now();
      let least = Number.POSITIVE_INFINITY;
      // A model that is loaded alone has already run once.
      for (let run = 0; run < (isOneAtATime ? 1 : Math.max(1, warmUp)); run++) {
        throwIfAborted(signal, "The timing was stopped.");
        if (run >= minWarmUpRuns && performance.now() - start > maxWarmUp) break;
        least = Math.min(least, await timeRuns(index, session, 1));
      }
      [fastest, slowest] = [Math.min(fastest, least), Math.max(slowest, least)];
    }
    const repeats = Math.max(1, Math.min(1000, Math.ceil(minStretch / Math.max(fastest, 1e-3))));
    const possibleRounds = Math.floor((1000 * seconds) / (models.length * repeats * slowest));
    const roundsInARow = isOneAtATime
      ? Math.ceil(Math.max(minRounds, Math.min(maxRounds, possibleRounds)) / minRounds)
      : 1;
    const times = models.map((): number[] => []);
    const processorTimes = new Float64Array(models.length);
    const began = performance.now();
    let rounds = 0;
    for (let turn = 0; rounds < maxRounds; turn++) {
      if (rounds >= minRounds && performance.now() - began > 1000 * seconds) break;
      const step = turn % 2 === 0 ? 1 : models.length - 1;
      // The first of two models in a turn is the last of the turn before, or of the warm-up, which is loaded already.
      for (let position = 0; position < models.length; position++) {
        const index = (turn + position * step + models.length - 1) % models.length;
        const session = await openers[index]?.();
        const before = processorTime() ?? Number.NaN;
        for (let round = 0; round < roundsInARow; round++) {
          throwIfAborted(signal, "The timing was stopped.");
          times[index]?.push(await timeRuns(index, session, repeats, runTimesByModel[index]));
        }
        processorTimes[index] = (processorTimes[index] ?? 0) + (processorTime() ?? Number.NaN) - before;
      }
      rounds += roundsInARow;
      options.progress?.(Math.min(rounds, maxRounds), maxRounds);
    }
    const [reference = []] = times;
    const timedModels = times.map((modelTimes, index) => ({
      milliseconds: spread(Float64Array.from(modelTimes)),
      speedup: spread(Float64Array.from(modelTimes, (time, round) => (reference[round] ?? 0) / time)),
      load: loadTimes[index] ?? Number.NaN,
      runs: percentiles(runTimesByModel[index] ?? []),
      ...processorTimeOf((processorTimes[index] ?? Number.NaN) / (rounds * repeats)),
    }));
    return { models: timedModels, rounds, repeats, threads, unsteady: isUnsteady(timedModels) };
  } finally {
    await releaseAll();
  }
}

function processorTimeOf(milliseconds: number): Pick<Latency, "processorTime"> {
  return Number.isFinite(milliseconds) ? { processorTime: milliseconds } : {};
}

export function relativeProcessorTime(
  [first]: readonly (Pick<Latency, "processorTime"> | undefined)[],
  latency: Pick<Latency, "processorTime"> | undefined,
): number | undefined {
  const share = (latency?.processorTime ?? Number.NaN) / (first?.processorTime ?? Number.NaN);
  // The resolution of the clock may be too low.
  return Number.isFinite(share) && share > 0 ? share : undefined;
}

const isUnsteady = (models: readonly Pick<Latency, "milliseconds">[]): boolean =>
  models.some(({ milliseconds: { low, high } }) => high > 2 * low);

/** @param advice How to time the models again; undefined if no model was written. */
export function unsteadyNote(advice: string | undefined): string {
  const idleAdvice = advice === undefined ? "" : ` When it is idle, ${advice}`;
  return `The machine was too busy to measure speed: some rounds of a model took twice as long as others.${idleAdvice}`;
}

export function spread(values: Float64Array): Spread {
  const sortedValues = values.toSorted();
  return { median: quantile(sortedValues, 0.5), low: quantile(sortedValues, 0.1), high: quantile(sortedValues, 0.9) };
}

function percentiles(times: readonly number[]): RunTimes["runs"] {
  const sortedTimes = Float64Array.from(times).sort();
  return { p50: quantile(sortedTimes, 0.5), p90: quantile(sortedTimes, 0.9) };
}

function isList(feeds: Batch | readonly Batch[]): feeds is readonly Batch[] {
  return Array.isArray(feeds);
}
