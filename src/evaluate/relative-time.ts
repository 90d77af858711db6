/** Times a changed model relative to its original, both in memory. */
import type { Engine } from "../engine/index.ts";
import { refusalIn } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { leastTimes } from "./least-times.ts";
import { timedFeeds, timedShapes } from "./timed-inputs.ts";

export interface RelativeTimer {
  /** Processor time of a run on one thread, relative to the original's, interleaved. */
  of(changed: Model): Promise<number>;
  release(): Promise<void>;
}

interface TimingContext {
  readonly engine: Engine;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/** Returns undefined if the model does not run on random inputs. */
export async function relativeTime(
  original: Model,
  changed: Model,
  context: TimingContext,
): Promise<number | undefined> {
  let timer: RelativeTimer | undefined;
  try {
    timer = await relativeTimer(original, context);
    const time = await timer.of(changed);
    return Number.isFinite(time) ? time : undefined;
  } catch (error) {
    refusalIn(error);
    return undefined;
  } finally {
    await timer?.release();
  }
}

/** @throws PithError E_UNSUPPORTED, E_ENGINE if the model cannot run on random inputs. */
export async function relativeTimer(original: Model, { engine, seed, signal }: TimingContext): Promise<RelativeTimer> {
  const [shapes = {}] = await timedShapes(engine, [original], { sizes: new Map(), seed });
  const feeds = timedFeeds(original, shapes, seed);
  const session = await engine.load(original, { threads: 1 });
  return {
    async of(model) {
      const changed = await engine.load(model, { threads: 1 });
      try {
        const [before = Number.NaN, now = Number.NaN] = await leastTimes([session, changed], feeds, signal);
        return now / before;
      } finally {
        await changed.release();
      }
    },
    release: () => session.release(),
  };
}
