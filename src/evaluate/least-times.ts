/**
 * Times by which something is decided: what else the machine does moves them little.
 *
 * That is the processor time of the stretch that takes least: waiting is no part of it, and of many stretches one finds its numbers in the caches. On a
 * machine with ten times as many processes as processors the ratio of two models, each on one thread, differed by 1 or 2 % from one time to the next (22 layers
 * of resnet20 and a CCT), that of their mean processor times by 30 %.
 */
import { processorTime } from "#platform";
import type { Session } from "../engine/index.ts";
import { stopIfAsked } from "../errors.ts";
import type { Batch } from "../tensor/types.ts";

/** Milliseconds of processor time: of a stretch, which the clock counts in microseconds, and of all stretches. */
const [stretch, enough] = [0.2, 40];
const fewest = 3;

/**
 * Of each session the processor time of a run, in milliseconds, in the stretch that takes least; NaN where it cannot be read (in a browser). They run in turns.
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
