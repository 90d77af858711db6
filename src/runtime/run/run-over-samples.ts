/** Runs models over a data set batch by batch, so that memory does not depend on the number of samples. */
import { withFixedSeeds } from "#analysis";
import { type Dataset, sampleCount, sliceBatch } from "#batches";
import { type Batch, dataError, type Model, throwIfAborted } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { prefetched } from "../../data/prefetch/feed.ts";
import { withKnownOutputs } from "./remembered-outputs.ts";
import { createRunner, feedsFor, type Runner, withOutputs } from "./runner.ts";
import { hasLargeWeights } from "./size-limits.ts";

export interface ObserveOptions {
  /** Maximum number of samples (default: all). */
  readonly samples?: number;
  /** Samples per run (default 16). A model with a fixed batch size uses its own size. */
  readonly batch?: number;
  /** Seed of a random order; default: in order. */
  readonly shuffle?: number | undefined;
  /** Enable graph optimization (false). */
  readonly optimize?: boolean;
  /** Threads inside an operator (default: the runtime's choice). */
  readonly threads?: number | undefined;
  /** Whether the next batch may overwrite the results. */
  readonly overwrites?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((done: number, total?: number) => void) | undefined;
}

export interface ObservedModel {
  readonly model: Model;
  /** Values of the main graph; default: all outputs. */
  readonly observed?: readonly string[];
  readonly engine?: Engine | undefined;
  /** Whether outputs are kept for later runs of the unchanged model on the same samples. */
  readonly isRemembered?: boolean | undefined;
}

const defaultBatch = 16;

/** A data set, or the inputs of each run. */
export type Samples = Dataset | readonly Batch[];

/** Runs models on the same samples and passes observed values to `add`. @returns the number of samples or runs. @throws PithError E_DATA if none, E_STOPPED. */
export async function runOverSamples(
  engine: Engine,
  models: readonly ObservedModel[],
  samples: Samples,
  options: ObserveOptions,
  add: (results: readonly Batch[], rows: Batch) => void | Promise<void>,
): Promise<number> {
  const runners: Runner[] = [];
  try {
    for (const { model, observed, engine: modelEngine = engine, isRemembered = false } of models) {
      const load = () => openRunner(modelEngine, model, samples, observed, options);
      runners.push(
        isRemembered ? withKnownOutputs(load, modelEngine, model, options.batch ?? defaultBatch) : await load(),
      );
    }
    return await runOverBatches(samples, options, async (rows) => {
      const results: Batch[] = [];
      for (const runner of runners) {
        throwIfAborted(options.signal, "Stopped while values were measured.");
        results.push(await runner.run(rows));
      }
      await add(results, rows);
    });
  } finally {
    for (const runner of runners) await runner.release();
  }
}

/** Calls `use` with each batch of samples. @returns the number of samples or runs. @throws PithError as `runOverSamples`. */
export async function runOverBatches(
  samples: Samples,
  { batch = defaultBatch, samples: maxSamples = Number.POSITIVE_INFINITY, signal, progress, shuffle }: ObserveOptions,
  use: (rows: Batch) => Promise<void>,
): Promise<number> {
  let done = 0;
  const runBatch = async (rows: Batch, count: number, total: number | undefined): Promise<void> => {
    throwIfAborted(signal, "Stopped while values were measured.");
    await use(rows);
    done += count;
    progress?.(done, total);
  };
  if (areBatches(samples)) {
    for (const feeds of samples) await runBatch(feeds, 1, samples.length);
    return done;
  }
  const total = samples.count === undefined ? undefined : Math.min(samples.count, maxSamples);
  for await (const readBatch of prefetched(samples, { size: Math.min(batch, maxSamples), shuffle })) {
    const count = Math.min(sampleCount(readBatch, samples.name), maxSamples - done);
    await runBatch(sliceBatch(readBatch, 0, count), count, total);
    if (done >= maxSamples) break;
  }
  if (done === 0) throw dataError(`${samples.name} has no samples.`);
  return done;
}

export async function openRunner(
  engine: Engine,
  model: Model,
  samples: Samples,
  observed: readonly string[] | undefined,
  { optimize = false, threads, overwrites }: ObserveOptions,
): Promise<Runner> {
  // Results are processed on one thread between runs, so the runtime's threads must not spin.
  const load = { optimize, threads, spinning: false, lean: hasLargeWeights(model) };
  if (!areBatches(samples)) return createRunner(engine, model, samples.name, { ...load, observed, overwrites });
  const loadedModel = withFixedSeeds(observed === undefined ? model : withOutputs(model, observed));
  const session = await engine.load(loadedModel, load);
  return { run: (feeds) => session.run(feedsFor(model, feeds), observed), release: () => session.release() };
}

export function areBatches(samples: Samples): samples is readonly Batch[] {
  return Array.isArray(samples);
}
