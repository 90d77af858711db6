/**
 * What a model's values are like over a data set, streamed: batch by batch, so that memory does not depend on the number of samples.
 *
 * For ranges the graph itself reduces every value to its smallest and largest number, so only two numbers per value and batch leave the
 * runtime:
 *
 *     h = Conv(x, w)          h = Conv(x, w);  h.smallest = ReduceMin(h);  h.largest = ReduceMax(h)
 */
import { prefetched } from "../data/feed.ts";
import { mapColumns, sampleCount, sliceRows } from "../data/rows.ts";
import { findStates } from "../data/states.ts";
import type { Dataset } from "../data/types.ts";
import type { Engine } from "../engine/engine.ts";
import { PithError, stopIfAsked } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { fromNumbers, toFloat64 } from "../tensor/convert.ts";
import { typeCodes } from "../tensor/type-codes.ts";
import type { Batch, Dense } from "../tensor/types.ts";
import { moments } from "./interval.ts";
import { createRunner, type Runner } from "./run.ts";

export interface ValueRange {
  readonly min: number;
  readonly max: number;
}

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

/**
 * The smallest and the largest number that each value takes over the samples of a data set. The model is not changed; it runs without
 * graph optimization, so that the values are those of the graph as it is written.
 *
 * @param names values of the main graph, of a floating-point type: inputs, outputs, or anything between.
 * @throws PithError E_NAME if there is no such value, E_DATA if the data does not fit, has no samples, or makes a value infinite or NaN, or
 * leaves it without an element, E_STOPPED on the signal.
 * @example
 * const ranges = await observeRanges(createEngine(), model, calibration, ["conv1.out"]);
 * ranges.get("conv1.out"); // { min: -3.1, max: 8.4 }
 */
export async function observeRanges(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  names: readonly string[],
  options: ObserveOptions = {},
): Promise<ReadonlyMap<string, ValueRange>> {
  const { ranges, samples } = await measureRanges(engine, model, dataset, names, options);
  for (const [name, range] of ranges) {
    if (range.min > range.max) {
      throw new PithError("E_DATA", `"${name}" has no elements in any of ${samples} samples, and so no range.`, {
        hint: "It is a cache that begins empty, or a length of 0: give data that fills it, or except the layers that read it.",
      });
    }
    if (!Number.isFinite(range.min) || !Number.isFinite(range.max)) throw notFinite(name, range, samples);
  }
  return ranges;
}

/** What to say where nothing but finite numbers will do. */
export function notFinite(name: string, { min, max }: ValueRange, samples: number): PithError {
  return new PithError("E_DATA", `"${name}" ranges from ${min} to ${max} over ${samples} samples: it must be finite.`, {
    hint: "The preprocessing may be wrong, or the model overflows on this data.",
  });
}

/** Ranges as they are: infinite, NaN where an element is, and from ∞ to -∞ where there is none. `samples` is how many were run. */
export async function measureRanges(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  names: readonly string[],
  options: ObserveOptions,
): Promise<{ readonly ranges: ReadonlyMap<string, ValueRange>; readonly samples: number }> {
  const work = model.clone();
  const states = statesOf(model, names);
  const outputs = [...new Set([...names, ...states.values()])].map((name) => reduced(work, name));
  const observed = outputs.flatMap(({ smallest, largest, nan }) => [smallest.name, largest.name, nan.name]);
  const ranges = new Map(outputs.map(({ name }) => [name, nothing()]));
  const samples = await overSamples(engine, [{ model: work, observed }], dataset, options, ([results = {}]) => {
    for (const { name, smallest, largest, nan } of outputs) {
      const range = ranges.get(name);
      if (range === undefined) continue;
      // The runtime's least and greatest number of several leave NaN out; of none they are infinite.
      const broken = numbersOf(results, nan).some((value) => value > 0) ? Number.NaN : 0;
      range.min = Math.min(range.min, broken + Math.min(...numbersOf(results, smallest)));
      range.max = Math.max(range.max, broken + Math.max(...numbersOf(results, largest)));
    }
  });
  const found = new Map<string, ValueRange>();
  for (const name of names) {
    const own = ranges.get(name) ?? nothing();
    const output = states.get(name);
    found.set(name, own.min > own.max && output !== undefined ? (ranges.get(output) ?? own) : own);
  }
  return { ranges: found, samples };
}

function nothing(): { min: number; max: number } {
  return { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY };
}

/**
 * Inputs that may come without an element, as caches of earlier tokens do at the first one, and the outputs that they are fed with later: these
 * tell what they will hold.
 */
function statesOf(model: Model, names: readonly string[]): ReadonlyMap<string, string> {
  const { feeds } = model.graph;
  const open = feeds.filter(
    ({ name, type }) => names.includes(name) && type?.dims?.slice(1).some((dim) => typeof dim !== "number"),
  );
  if (open.length === 0) return new Map();
  const given = feeds.flatMap((feed) => (open.includes(feed) ? [] : [feed.name]));
  return new Map(findStates(model, given).map(({ input, output }) => [input, output]));
}

/** Something that is told of a value batch by batch, and says in the end what it has seen. */
export interface Statistic<R> {
  add(batch: Dense): void;
  result(): R;
}

/**
 * Statistics of any values over the samples of a data set: each gets one of its own. The model is not changed; it runs without graph
 * optimization, so that the values are those of the graph as it is written. Memory: the values of one batch.
 *
 * @param names values of the main graph: inputs, outputs, or anything between.
 * @throws PithError E_NAME if there is no such value, E_DATA if the data does not fit or has no samples, E_STOPPED on the signal.
 * @example
 * const spread = await observe(createEngine(), model, calibration, ["conv1.out"], spreadOfNumbers);
 * spread.get("conv1.out"); // { count: 16384, mean: 0.02, deviation: 0.41, zeros: 0.5 }
 */
export async function observe<R>(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  names: readonly string[],
  statistic: (name: string) => Statistic<R>,
  options: ObserveOptions = {},
): Promise<ReadonlyMap<string, R>> {
  const statistics = new Map(names.map((name) => [name, statistic(name)]));
  await overSamples(engine, [{ model, observed: names }], dataset, options, ([results = {}]) => {
    for (const [name, own] of statistics) {
      const dense = results[name];
      if (dense !== undefined) own.add(dense);
    }
  });
  return new Map([...statistics].map(([name, own]) => [name, own.result()]));
}

export interface NumberSpread {
  readonly count: number;
  readonly mean: number;
  /** Standard deviation, over n. */
  readonly deviation: number;
  /** The share that is exactly zero. */
  readonly zeros: number;
}

/** Mean, standard deviation and zeros of all elements. Batches are joined by Chan's rule, which loses no digits where the mean is large. */
export function spreadOfNumbers(): Statistic<NumberSpread> {
  let [count, mean, squares, zeros] = [0, 0, 0, 0];
  return {
    add(batch) {
      const values = toFloat64(batch);
      if (values.length === 0) return;
      const own = moments(values);
      const ownSquares = own.variance * (values.length - 1);
      const total = count + values.length;
      const apart = own.mean - mean;
      squares += ownSquares + (apart * apart * count * values.length) / total;
      mean += (apart * values.length) / total;
      count = total;
      for (const value of values) if (value === 0) zeros++;
    },
    result: () => ({ count, mean, deviation: Math.sqrt(squares / count), zeros: zeros / count }),
  };
}

/** A model, and the values of its main graph that are wanted of it. */
export interface Observed {
  readonly model: Model;
  readonly observed: readonly string[];
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
  add: (results: readonly Batch[], rows: Batch) => void,
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
      const rows = mapColumns(read, (dense) => sliceRows(dense, 0, count));
      const results: Batch[] = [];
      for (const runner of runners) results.push(await runner.run(rows));
      add(results, rows);
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

interface Reduced {
  readonly name: string;
  readonly smallest: Value;
  readonly largest: Value;
  /** 1 where an element is NaN. */
  readonly nan: Value;
}

/** Adds the reductions of a value, each as a vector of one number: runs over several windows of a batch are joined along it. */
function reduced(work: Model, name: string): Reduced {
  const value = valueNamed(work, name);
  const emit = emitInto(work);
  const one = emit.constant(fromNumbers("int64", [1], [1]), "one");
  return {
    name,
    smallest: emit.named(`${name}.smallest`).Reshape([emit.ReduceMin([value], { keepdims: 0 }), one]),
    largest: emit.named(`${name}.largest`).Reshape([emit.ReduceMax([value], { keepdims: 0 }), one]),
    nan: emit
      .named(`${name}.nan`)
      .Reshape([emit.ReduceMax([emit.Cast([emit.IsNaN([value])], { to: typeCodes.float32 })], { keepdims: 0 }), one]),
  };
}

function valueNamed(model: Model, name: string): Value {
  const value = model.graph.value(name);
  if (value === undefined) throw new PithError("E_NAME", `The model has no value "${name}" to observe.`);
  return value;
}

function numbersOf(results: Batch, value: Value): Float64Array {
  const dense = results[value.name];
  return dense === undefined ? new Float64Array() : toFloat64(dense);
}
