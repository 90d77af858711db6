/**
 * Ranges of a model's values over a data set, streamed: the graph itself reduces every value to its smallest and largest number, so only
 * two numbers per value and batch leave the runtime, and memory does not depend on the number of samples.
 *
 *     h = Conv(x, w)          h = Conv(x, w);  h.smallest = ReduceMin(h);  h.largest = ReduceMax(h)
 */
import { mapColumns, sampleCount, sliceRows } from "../data/rows.ts";
import type { Dataset } from "../data/types.ts";
import type { Engine } from "../engine/engine.ts";
import { PithError } from "../errors.ts";
import { emitInto } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { fromNumbers, toFloat64 } from "../tensor/convert.ts";
import type { Batch } from "../tensor/types.ts";
import { createRunner } from "./run.ts";

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
 * @throws PithError E_NAME if there is no such value, E_DATA if the data does not fit, has no samples, or makes a value infinite or NaN,
 * E_STOPPED on the signal.
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
  const { batch = 16, samples = Number.POSITIVE_INFINITY, signal, progress } = options;
  const work = model.clone();
  const outputs = names.map((name) => reduced(work, name));
  work.graph.setOutputs(outputs.flatMap(({ smallest, largest }) => [smallest, largest]));
  const ranges = new Map(names.map((name) => [name, { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY }]));
  const total = dataset.count === undefined ? undefined : Math.min(dataset.count, samples);
  const runner = await createRunner(engine, work, dataset.name, { optimize: false });
  let done = 0;
  try {
    const { shuffle } = options;
    const order = shuffle === undefined ? {} : { shuffle };
    for await (const read of dataset.batches({ size: Math.min(batch, samples), ...order })) {
      if (signal?.aborted === true)
        throw new PithError("E_STOPPED", "Measuring ranges was stopped.", { cause: signal.reason });
      const count = Math.min(sampleCount(read, dataset.name), samples - done);
      const rows = mapColumns(read, (dense) => sliceRows(dense, 0, count));
      const results = await runner.run(rows);
      for (const { name, smallest, largest } of outputs) {
        const range = ranges.get(name);
        if (range === undefined) continue;
        range.min = Math.min(range.min, ...numbersOf(results, smallest));
        range.max = Math.max(range.max, ...numbersOf(results, largest));
      }
      done += count;
      progress?.(done, total);
      if (done >= samples) break;
    }
  } finally {
    await runner.release();
  }
  if (done === 0) throw new PithError("E_DATA", `${dataset.name} has no samples.`);
  for (const [name, { min, max }] of ranges) {
    if (Number.isFinite(min) && Number.isFinite(max)) continue;
    throw new PithError("E_DATA", `"${name}" ranges from ${min} to ${max} over ${done} samples: it must be finite.`, {
      hint: "The preprocessing may be wrong, or the model overflows on this data.",
    });
  }
  return ranges;
}

interface Reduced {
  readonly name: string;
  readonly smallest: Value;
  readonly largest: Value;
}

/** Adds the reductions of a value, each as a vector of one number: runs over several windows of a batch are joined along it. */
function reduced(work: Model, name: string): Reduced {
  const value = work.graph.value(name);
  if (value === undefined) throw new PithError("E_NAME", `The model has no value "${name}" to observe.`);
  const emit = emitInto(work);
  const one = emit.constant(fromNumbers("int64", [1], [1]), "one");
  return {
    name,
    smallest: emit.named(`${name}.smallest`).Reshape([emit.ReduceMin([value], { keepdims: 0 }), one]),
    largest: emit.named(`${name}.largest`).Reshape([emit.ReduceMax([value], { keepdims: 0 }), one]),
  };
}

function numbersOf(results: Batch, value: Value): Float64Array {
  const dense = results[value.name];
  return dense === undefined ? new Float64Array() : toFloat64(dense);
}
