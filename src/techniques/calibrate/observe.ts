/**
 * Computes statistics of a model's values in one pass over the samples. For ranges, added nodes reduce each value on the runtime:
 *
 *     h = Conv(x, w)          h = Conv(x, w);  h.reduced = Concat(ReduceMin(h), ReduceMax(h), ReduceSum(h))
 */
import { type Dataset, findStates } from "#batches";
import { dataError, elementCount, fixedDims, type Model, notFiniteHint, type PithError, type Value } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { type ObserveOptions, runOverSamples } from "../../runtime/run/run-over-samples.ts";
import { readFeatures } from "./features.ts";
import { type Place, type Statistic, writeObserved } from "./statistic.ts";

/**
 * Computes a separate statistic for each value over the samples of a data set. The model is not changed; without `optimize`, it runs without
 * graph optimization, so that values are those of the written graph. Memory: the values of one batch.
 * @param places values of the main graph, optionally with their channel axis.
 * @throws PithError E_NAME if there is no such value, E_DATA if the data does not fit or has no samples, E_STOPPED on the signal.
 * @example
 * const seen = await observe(createEngine(), model, calibration, ["conv1.out"], channelMoments);
 * seen.get("conv1.out"); // { count: 16384, mean: [0.02], variance: [0.17], zeros: [0.5] }
 */
export async function observe<R>(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  places: readonly (string | Place)[],
  statistic: Statistic<R> | ((name: string) => Statistic<R>),
  options: ObserveOptions = {},
): Promise<ReadonlyMap<string, R>> {
  const copy = model.clone();
  const observations = places.map((nameOrPlace) => {
    const place = typeof nameOrPlace === "string" ? { name: nameOrPlace } : nameOrPlace;
    const { name } = place;
    const method = typeof statistic === "function" ? statistic(name) : statistic;
    const bytes = bytesOfSample(copy.graph.value(name)) * (method.reduce === undefined ? 1 : liveShare);
    return { name, bytes, ...writeObserved(copy, place, method), running: method.begin() };
  });
  if (observations.length === 0) return new Map();
  const models = [{ model: copy, observed: observations.map(({ value }) => value.name) }];
  const bytes = observations.reduce((sum, value) => sum + value.bytes, 0);
  const fixedBatch = model.graph.feeds[0]?.type?.dims?.[0];
  const fittingBatch = Math.max(1, Math.min(maxSamples, Math.floor(maxBytes / bytes)));
  const { batch = typeof fixedBatch === "number" ? fixedBatch : fittingBatch } = options;
  await runOverSamples(engine, models, dataset, { ...options, batch, overwrites: true }, async ([results = {}]) => {
    for (const { value, axis, rank, running } of observations) {
      const dense = results[value.name];
      if (dense !== undefined) await running.add(readFeatures(dense, { axis, rank }));
    }
  });
  return new Map(observations.map(({ name, running }) => [name, running.end()]));
}

/** Maximum bytes of the observed values of a batch, which the runtime and JavaScript hold at once. */
const maxBytes = 64 * 2 ** 20;
const maxSamples = 16;

/** Approximate share of the reduced values that is in memory at a time. */
const liveShare = 1 / 4;

function bytesOfSample(value: Value | undefined): number {
  const dims = fixedDims(value?.type?.dims?.slice(1));
  return dims === undefined ? 0 : 4 * elementCount(dims);
}

export interface ValueRange {
  readonly min: number;
  readonly max: number;
}

/** The minimum and maximum: NaN if any element is NaN, ∞ and -∞ for an empty value. */
export const valueRange: Statistic<ValueRange> = {
  reduce: (emit, value) => [
    emit.ReduceMin([value], { keepdims: 0 }),
    emit.ReduceMax([value], { keepdims: 0 }),
    // The runtime's minimum and maximum ignore NaN, but a sum does not.
    emit.ReduceSum([value], { keepdims: 0 }),
  ],
  begin() {
    let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    return {
      add(batch) {
        const { data } = batch.matrix();
        for (let index = 0; index < data.length; index += 3) {
          const nanOrZero = Number.isNaN(data[index + 2]) ? Number.NaN : 0;
          min = Math.min(min, nanOrZero + (data[index] ?? 0));
          max = Math.max(max, nanOrZero + (data[index + 1] ?? 0));
        }
      },
      end: () => ({ min, max }),
    };
  },
};

export function notFiniteError(name: string, { min, max }: ValueRange): PithError {
  const range = Number.isNaN(min) || Number.isNaN(max) ? "holds NaN" : `ranges from ${min} to ${max}`;
  return dataError(`"${name}" ${range} on this data: it must be finite.`, { hint: notFiniteHint });
}

/** Like `observe`. An empty input (a cache before the first token) gets the range of the output that is fed to it later. */
export async function observeWithStates<R extends ValueRange>(
  engine: Engine,
  model: Model,
  dataset: Dataset,
  names: readonly string[],
  statistic: Statistic<R>,
  options: ObserveOptions,
): Promise<ReadonlyMap<string, R>> {
  const states = statesOf(model, names);
  const all = [...new Set([...names, ...states.values()])];
  const ranges = await observe(engine, model, dataset, all, statistic, options);
  const pairs = names.flatMap((name) => {
    const range = ranges.get(name);
    if (range === undefined) return [];
    return [[name, range.min > range.max ? (ranges.get(states.get(name) ?? name) ?? range) : range] as const];
  });
  return new Map(pairs);
}

/** Maps inputs that can be empty to the outputs that are fed to them in later steps. */
function statesOf(model: Model, names: readonly string[]): ReadonlyMap<string, string> {
  const { feeds } = model.graph;
  const emptyInputs = feeds.filter(
    ({ name, type }) => names.includes(name) && type?.dims?.slice(1).some((dim) => typeof dim !== "number"),
  );
  if (emptyInputs.length === 0) return new Map();
  const otherInputs = feeds.flatMap((feed) => (emptyInputs.includes(feed) ? [] : [feed.name]));
  return new Map(findStates(model, otherInputs).map(({ input, output }) => [input, output]));
}
