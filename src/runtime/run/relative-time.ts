/** Times a changed model relative to its original: processor time of the fastest series of runs, which other processes hardly affect. */

import type { Dataset } from "#batches";
import { asPithError, type Batch, Miss, type Model, runTime, throwIfAborted } from "#ir";
import { processorTime } from "#platform";
import type { Engine, Session } from "../../core/engine/index.ts";
import { feedsFor } from "./runner.ts";
import { timedInputs } from "./timed-inputs.ts";

/** Milliseconds of processor time that a run takes on one thread. */
export interface PairedRunTimes {
  readonly before: number;
  readonly after: number;
  /** Ratio of `before` to `after` in each series of runs. */
  readonly ratios: readonly number[];
}

interface TimingContext {
  readonly engine: Engine;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** Maximum milliseconds of a run that is timed. */
const maxRunTime = 200;

/** Returns a Miss if the models do not run on the inputs, a run takes too long, or processor time cannot be read. */
export async function relativeTime(
  original: Model,
  changed: Model,
  context: TimingContext,
  samples?: Dataset | undefined,
): Promise<PairedRunTimes | Miss> {
  if (inputNames(original) !== inputNames(changed)) return new Miss("the inputs of the two models have other names");
  let timer: Awaited<ReturnType<typeof relativeTimer>> | undefined;
  try {
    timer = await relativeTimer(original, context, samples);
    const first = await timer.run();
    if (first > maxRunTime) return new Miss(`a run takes ${runTime(first)}`);
    const times = await timer.timePair(changed);
    return Number.isFinite(times.after / times.before) ? times : new Miss("processor time cannot be read here");
  } catch (error) {
    return new Miss(asPithError(error).message);
  } finally {
    await timer?.release();
  }
}

const inputNames = ({ graph: { feeds } }: Model): string => JSON.stringify(feeds.map(({ name }) => name).toSorted());

/** @param samples of which the first one is the input. @throws PithError as `timedInputs`. */
export async function relativeTimer(
  original: Model,
  { engine, seed, signal }: TimingContext,
  samples?: Dataset | undefined,
) {
  const [feeds = {}] = (await timedInputs(engine, [original], { samples, seed, signal })).feeds;
  const session = await engine.load(original, { threads: 1, spinning: false });
  return {
    async timePair(model: Model): Promise<PairedRunTimes> {
      const changedSession = await engine.load(model, { threads: 1, spinning: false });
      const changedFeeds = feedsFor(model, feeds);
      try {
        const sessions = [session, { run: () => changedSession.run(changedFeeds) }];
        const [originalTimes = [], changedTimes = []] = await timeSeries(sessions, feeds, signal);
        const ratios = originalTimes.map((time, series) => time / (changedTimes[series] ?? Number.NaN));
        return { before: Math.min(...originalTimes), after: Math.min(...changedTimes), ratios };
      } finally {
        await changedSession.release();
      }
    },
    async run(): Promise<number> {
      const began = performance.now();
      await session.run(feeds);
      return performance.now() - began;
    },
    release: (): Promise<void> => session.release(),
  };
}

export const shareOfTime = ({ before, after }: PairedRunTimes): number => after / before;

/** Minimum milliseconds of processor time of a series of runs, and of the series of a session. */
const [seriesTime, totalTime] = [0.2, 40];
const minSeries = 3;

/** Returns each session's processor times per run in milliseconds; NaN in browsers. Runs are interleaved. @throws PithError E_STOPPED. */
export async function timeSeries(
  sessions: readonly Pick<Session, "run">[],
  feeds: Batch,
  signal: AbortSignal,
): Promise<readonly (readonly number[])[]> {
  const now = (): number => processorTime() ?? Number.NaN;
  const timeRuns = async (session: Pick<Session, "run">, runs: number): Promise<number> => {
    const before = now();
    for (let run = 0; run < runs; run++) await session.run(feeds);
    return (now() - before) / runs;
  };
  let runs = 1;
  for (const session of sessions) {
    await timeRuns(session, minSeries);
    runs = Math.max(runs, Math.min(1000, Math.ceil(seriesTime / (await timeRuns(session, 1)))));
  }
  const times: number[][] = sessions.map(() => []);
  const began = now();
  for (let count = 0; count < minSeries || now() - began < sessions.length * totalTime; count++) {
    throwIfAborted(signal);
    // The order alternates, because a session runs faster or slower after another one.
    const order = [...sessions.entries()];
    for (const [index, session] of count % 2 === 0 ? order : order.toReversed())
      times[index]?.push(await timeRuns(session, runs));
  }
  return times;
}
