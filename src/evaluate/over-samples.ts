/** Models on the samples of a data set, batch by batch, so that memory does not depend on how many there are. */
import { prefetched } from "../data/feed.ts";
import { sampleCount, sliceBatch } from "../data/rows.ts";
import type { Dataset } from "../data/types.ts";
import type { Engine, Session } from "../engine/engine.ts";
import { PithError, stopIfAsked } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Batch } from "../tensor/types.ts";
import { createRunner, type Runner, withOutputs } from "./run.ts";

export interface ObserveOptions {
  /** Samples to run at most (default: all). */
  readonly samples?: number;
  /** Samples at a time (default 16); a model that fixes its own number is given that many. */
  readonly batch?: number;
  /** A seed: the samples are drawn in an order of its own. Absent: in order. */
  readonly shuffle?: number;
  readonly signal?: AbortSignal;
  /** Samples done, and how many there will be where that is known. */
  readonly progress?: (done: number, total?: number) => void;
}

/** A model, and the values of its main graph that are wanted of it. */
export interface Observed {
  readonly model: Model;
  readonly observed: readonly string[];
}

/** As `overSamples`, on what models are fed: run by run, each model by its own engine, and with graph optimization. */
export async function overFeeds(
  models: readonly (Observed & { readonly engine: Engine })[],
  feeds: readonly Batch[],
  signal: AbortSignal | undefined,
  add: (results: readonly Batch[]) => void,
): Promise<void> {
  const sessions: Session[] = [];
  try {
    for (const { engine, model, observed } of models) sessions.push(await engine.load(withOutputs(model, observed)));
    for (const one of feeds) {
      stopIfAsked(signal, "Stopped while values were measured.");
      const results: Batch[] = [];
      for (const [at, session] of sessions.entries()) results.push(await session.run(one, models[at]?.observed));
      add(results);
    }
  } finally {
    for (const session of sessions) await session.release();
  }
}

/**
 * Runs models on the same samples, batch by batch, without graph optimization, and hands over the values that are observed of each.
 * @returns how many samples there were.
 * @throws PithError E_DATA if there were none, E_STOPPED on the signal.
 */
export async function overSamples(
  engine: Engine,
  models: readonly Observed[],
  dataset: Dataset,
  options: ObserveOptions,
  add: (results: readonly Batch[], rows: Batch) => void | Promise<void>,
): Promise<number> {
  const { batch = 16, samples = Number.POSITIVE_INFINITY, signal, progress, shuffle } = options;
  const total = dataset.count === undefined ? undefined : Math.min(dataset.count, samples);
  const runners: Runner[] = [];
  let done = 0;
  try {
    for (const { model, observed } of models) {
      runners.push(await createRunner(engine, model, dataset.name, { optimize: false, observed }));
    }
    const order = shuffle === undefined ? {} : { shuffle };
    for await (const read of prefetched(dataset, { size: Math.min(batch, samples), ...order })) {
      stopIfAsked(signal, "Stopped while values were measured.");
      const count = Math.min(sampleCount(read, dataset.name), samples - done);
      const rows = sliceBatch(read, 0, count);
      const results: Batch[] = [];
      for (const runner of runners) results.push(await runner.run(rows));
      await add(results, rows);
      done += count;
      progress?.(done, total);
      if (done >= samples) break;
    }
  } finally {
    for (const runner of runners) await runner.release();
  }
  if (done === 0) throw new PithError("E_DATA", `${dataset.name} has no samples.`);
  return done;
}
