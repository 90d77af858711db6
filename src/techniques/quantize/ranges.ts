/**
 * Activation ranges that clip rare values, from a histogram over the whole range. Each range contains 0:
 *
 *     percentile   excludes a share of 10⁻⁵ of the values, half of it at either end
 *     mse          p · [min, max] with the p = 1, 0.99, … 0.1 of least squared error of 8 bits, clipping included
 *     entropy      ± t with the least Kullback-Leibler divergence of 128 levels (Migacz 2017): for each t, p adds values outside
 *                  to the outer bins, and q spreads each level over its nonempty bins. Zeros are excluded: after a Relu they
 *                  would outweigh all other values
 */

import { PithError } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Context } from "../../core/pass/pass.ts";
import { isIndexed } from "../../data/batches/indexed.ts";
import { type Histogram, histogram } from "../calibrate/histogram.ts";
import { measureOnce, observeOnce } from "../calibrate/kept.ts";
import { observeWithStates, type ValueRange, valueRange } from "../calibrate/observe.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import type { MeasureOptions } from "./measure.ts";
import { lostShareOf, shareLost } from "./resolution.ts";

const outside = 1e-5;
const levels = 255;
const entropyLevels = 128;

export const clippedBy: Readonly<Record<"percentile" | "mse" | "entropy", (seen: Histogram) => ValueRange>> = {
  percentile({ min, max, counts, start, width }) {
    const total = counts.reduce((sum, count) => sum + count, 0);
    const cutCount = (total * outside) / 2;
    const partAt = (maxShare: number, from: readonly number[]): number => {
      let sum = 0;
      for (const part of from) {
        sum += counts[part] ?? 0;
        if (sum > maxShare) return part;
      }
      return from.at(-1) ?? 0;
    };
    const parts = Array.from(counts.keys());
    const [low, high] = [partAt(cutCount, parts), partAt(cutCount, parts.toReversed())];
    return within({ min, max }, start + low * width, start + (high + 1) * width);
  },
  mse({ min, max, counts, start, width }) {
    let best = { min, max, error: Number.POSITIVE_INFINITY };
    for (let share = 100; share >= 10; share--) {
      const [low, high] = [(Math.min(min, 0) * share) / 100, (Math.max(max, 0) * share) / 100];
      const step = (high - low) / levels;
      let error = 0;
      for (const [part, count] of counts.entries()) {
        if (count === 0) continue;
        const value = start + (part + 0.5) * width;
        error += count * (value - Math.round(Math.min(high, Math.max(low, value)) / step) * step) ** 2;
      }
      if (error < best.error) best = { min: low, max: high, error };
    }
    return within({ min, max }, best.min, best.max);
  },
  entropy({ min, max, counts, start, width, zeros }) {
    const reach = Math.max(-min, max);
    const sizes = new Float64Array(Math.max(entropyLevels, Math.floor(reach / width) + 1));
    for (const [part, count] of counts.entries()) {
      const index = Math.floor(Math.abs(start + (part + 0.5) * width) / width);
      if (count > 0) sizes[index] = (sizes[index] ?? 0) + count;
    }
    sizes[0] = (sizes[0] ?? 0) - zeros;
    const total = sizes.reduce((sum, size) => sum + size, 0);
    let best = { parts: sizes.length, divergence: Number.POSITIVE_INFINITY };
    const stride = Math.max(1, Math.floor(sizes.length / 512));
    for (let parts = entropyLevels; parts <= sizes.length; parts += stride) {
      const distance = divergence(sizes, parts, total);
      if (distance < best.divergence) best = { parts, divergence: distance };
    }
    const limit = best.parts * width;
    return within({ min, max }, -limit, limit);
  },
};

/** Returns KL(p ‖ q) of the first `parts` bins. A bin that is empty in q but not in p gets a probability of 10⁻⁴ of a bin. */
function divergence(sizes: Float64Array, parts: number, total: number): number {
  let inside = 0;
  for (let part = 0; part < parts; part++) inside += sizes[part] ?? 0;
  const rest = total - inside;
  const minProbability = 1e-4 / parts;
  let sum = 0;
  for (let level = 0; level < entropyLevels; level++) {
    const from = Math.floor((level * parts) / entropyLevels);
    const to = Math.floor(((level + 1) * parts) / entropyLevels);
    let [within, filled] = [0, 0];
    for (let part = from; part < to; part++) {
      const size = sizes[part] ?? 0;
      within += size;
      filled += Number(size > 0);
    }
    const mean = within / inside / filled;
    for (let part = from; part < to; part++) {
      const size = sizes[part] ?? 0;
      const p = (part === parts - 1 ? size + rest : size) / total;
      if (p > 0) sum += p * Math.log(p / Math.max(size > 0 ? mean : 0, minProbability));
    }
  }
  return sum;
}

function within({ min, max }: ValueRange, low: number, high: number): ValueRange {
  return { min: Math.max(Math.min(min, 0), Math.min(low, 0)), max: Math.min(Math.max(max, 0), Math.max(high, 0)) };
}

/** Number of samples on which lost values are counted. */
const countedSamples = 16;

interface Measured {
  readonly range: ValueRange;
  /** Share of the smaller values that this range rounds to 0. */
  readonly lost: number;
}

/** Returns the range of each activation over samples. */
export async function measureRanges(
  model: Model,
  values: readonly Value[],
  bitsOf: (value: Value) => number,
  { data, samples, ranges: method = "min-max" }: MeasureOptions,
  { engine, seed, signal, progress }: Context,
): Promise<ReadonlyMap<Value, Measured>> {
  if (data === undefined) throw missingData("quantize");
  const names = values.map((value) => value.name);
  const order = { ...(isIndexed(data) ? { shuffle: seed } : {}), signal };
  const bits = new Map(values.map((value) => [value.name, bitsOf(value)]));
  const measured = new Map<string, Measured>();
  const all = { ...order, samples, progress };
  if (method === "min-max") {
    const measure = (missing: readonly string[]) => observeWithStates(engine, model, data, missing, valueRange, all);
    const ranges = await measureOnce(model, data, `${method} of ${samples} samples, seed ${seed}`, names, measure);
    const countable = names.filter((name) => isCountable(ranges.get(name)));
    const countedOrder = { ...order, samples: Math.min(countedSamples, samples) };
    const losing = (name: string): Statistic<number> => shareLost(ranges.get(name) ?? nothing, bits.get(name) ?? 8);
    const lostShares = new Map<string, number>();
    for (const width of new Set(bits.values())) {
      const cacheKey = { of: data, setting: `lost at ${width} bits, ${method} of ${samples} samples, seed ${seed}` };
      const values = countable.flatMap((name) => (bits.get(name) === width ? [{ name }] : []));
      for (const [name, share] of await observeOnce(engine, model, cacheKey, values, losing, countedOrder))
        lostShares.set(name, share);
    }
    for (const [name, range] of ranges) measured.set(name, { range, lost: lostShares.get(name) ?? 0 });
  } else {
    const histograms = await observeWithStates(engine, model, data, names, histogram, all);
    for (const [name, bins] of histograms) {
      const range = isCountable(bins) ? clippedBy[method](bins) : bins;
      measured.set(name, { range, lost: isCountable(bins) ? lostShareOf(bins, range, bits.get(name) ?? 8) : 0 });
    }
  }
  return new Map(values.map((value) => [value, measured.get(value.name) ?? { range: nothing, lost: 0 }]));
}

const nothing: ValueRange = { min: 0, max: 0 };

function isCountable({ min, max }: ValueRange = nothing): boolean {
  return Number.isFinite(max - min) && (min < 0 || max > 0);
}

export function missingData(owner: "quantize" | "fake-quantize"): PithError {
  return new PithError(
    "E_OPTION",
    `${owner}: "data": the static scheme measures ranges on data, but no data is given.`,
    {
      hint: `Pass a data set, or choose another scheme: "weights"${owner === "quantize" ? ' and "dynamic" need' : " needs"} none.`,
    },
  );
}
