/**
 * Processor time of the fastest stretch of runs, which other processes hardly affect: waiting is excluded, and one stretch has warm caches.
 *
 * On an overloaded machine, the ratio of two single-threaded models varied by 1 or 2 %; the ratio of mean processor times varied by 30 %.
 */
import { processorTime } from "#platform";
import type { Session } from "../engine/index.ts";
import { stopIfAsked } from "../errors.ts";
import type { Batch } from "../tensor/types.ts";

/** Milliseconds of processor time of one stretch (the clock counts in microseconds), and of all stretches. */
const [stretch, enough] = [0.2, 40];
const fewest = 3;

/**
 * Returns each session's fastest processor time per run in milliseconds; NaN if it cannot be read (browsers). Runs are interleaved.
 * @throws PithError E_STOPPED on the signal.
 */
export async function leastTimes(
  sessions: readonly Session[],
  feeds: Batch,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const now = (): number => processorTime() ?? Number.NaN;
  const timed = async (session: Session, runs: number): Promise<number> => {
    const before = now();
    for (let run = 0; run < runs; run++) await session.run(feeds);
    return (now() - before) / runs;
  };
  let runs = 1;
  for (const session of sessions) {
    await timed(session, fewest);
    runs = Math.max(runs, Math.min(1000, Math.ceil(stretch / (await timed(session, 1)))));
  }
  const least = sessions.map(() => Number.POSITIVE_INFINITY);
  const began = now();
  for (let count = 0; count < fewest || now() - began < sessions.length * enough; count++) {
    stopIfAsked(signal);
    for (const [at, session] of sessions.entries())
      least[at] = Math.min(least[at] ?? Number.NaN, await timed(session, runs));
  }
  return least;
}
