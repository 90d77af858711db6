/**
 * Measures activation ranges: the minimum and maximum, or ranges that clip rare values, from a histogram:
 *
 *     percentile   excludes a share of 10⁻⁵ of the values, half of it at either end
 *     mse          p · [min, max], p = 1, 0.99, … 0.1, with the lowest squared error of 8 bits, including the error of clipping
 */
import { isIndexed } from "#batches";
import { type Model, optionError, type PithError, type Value } from "#ir";
import type { Context } from "#pass";
import { type Histogram, histogram } from "../calibrate/histogram.ts";
import { observeWithStates, type ValueRange, valueRange } from "../calibrate/observe.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import { measureOnce, observeOnce } from "../calibrate/statistics-cache.ts";
import type { MeasureOptions } from "./activation-scales.ts";
import { estimateNoise, noiseStatistic } from "./resolution.ts";

const clippedShare = 1e-5;
const levels = 255;

export const clippedRanges: Readonly<Record<"percentile" | "mse", (seen: Histogram) => ValueRange>> = {
  percentile({ min, max, counts, start, width }) {
    const total = counts.reduce((sum, count) => sum + count, 0);
    const cutCount = (total * clippedShare) / 2;
    const binAt = (maxShare: number, from: readonly number[]): number => {
      let sum = 0;
      for (const bin of from) {
        sum += counts[bin] ?? 0;
        if (sum > maxShare) return bin;
      }
      return from.at(-1) ?? 0;
    };
    const binIndices = Array.from(counts.keys());
    const [low, high] = [binAt(cutCount, binIndices), binAt(cutCount, binIndices.toReversed())];
    return limitRange({ min, max }, start + low * width, start + (high + 1) * width);
  },
  mse({ min, max, counts, start, width }) {
    let best = { min, max, error: Number.POSITIVE_INFINITY };
    for (let share = 100; share >= 10; share--) {
      const [low, high] = [(Math.min(min, 0) * share) / 100, (Math.max(max, 0) * share) / 100];
      const step = (high - low) / levels;
      let error = 0;
      for (const [bin, count] of counts.entries()) {
        if (count === 0) continue;
        const value = start + (bin + 0.5) * width;
        error += count * (value - Math.round(Math.min(high, Math.max(low, value)) / step) * step) ** 2;
      }
      if (error < best.error) best = { min: low, max: high, error };
    }
    return limitRange({ min, max }, best.min, best.max);
  },
};

function limitRange({ min, max }: ValueRange, low: number, high: number): ValueRange {
  return { min: Math.max(Math.min(min, 0), Math.min(low, 0)), max: Math.min(Math.max(max, 0), Math.max(high, 0)) };
}

const countedSamples = 16;

interface MeasuredRange {
  readonly range: ValueRange;
  /** Noise of quantization over this range, relative to the bulk of the values (`resolution.ts`). */
  readonly noise: number;
}

export async function measureRanges(
  model: Model,
  values: readonly Value[],
  bitsOf: (value: Value) => number,
  { data, samples, ranges: method = "min-max" }: MeasureOptions,
  { engine, seed, signal, progress }: Context,
): Promise<ReadonlyMap<Value, MeasuredRange>> {
  if (data === undefined) throw missingData("quantize");
  const names = values.map((value) => value.name);
  const order = { ...(isIndexed(data) ? { shuffle: seed } : {}), signal, optimize: true };
  const bits = new Map(values.map((value) => [value.name, bitsOf(value)]));
  const measured = new Map<string, MeasuredRange>();
  const observeOptions = { ...order, samples, progress };
  if (method === "min-max") {
    const measure = (missing: readonly string[]) =>
      observeWithStates(engine, model, data, missing, valueRange, observeOptions);
    const ranges = await measureOnce(model, data, `${method} of ${samples} samples, seed ${seed}`, names, measure);
    const countable = names.filter((name) => isCountable(ranges.get(name)));
    const countedOrder = { ...order, samples: Math.min(countedSamples, samples) };
    const statistic = (name: string): Statistic<number> =>
      noiseStatistic(ranges.get(name) ?? emptyRange, bits.get(name) ?? 8);
    const noises = new Map<string, number>();
    for (const width of new Set(bits.values())) {
      const cacheKey = {
        dataset: data,
        setting: `noise at ${width} bits, ${method} of ${samples} samples, seed ${seed}`,
      };
      const values = countable.flatMap((name) => (bits.get(name) === width ? [{ name }] : []));
      for (const [name, noise] of await observeOnce(engine, model, cacheKey, values, statistic, countedOrder))
        noises.set(name, noise);
    }
    for (const [name, range] of ranges) measured.set(name, { range, noise: noises.get(name) ?? 0 });
  } else {
    const histograms = await observeWithStates(engine, model, data, names, histogram, observeOptions);
    for (const [name, bins] of histograms) {
      const range = isCountable(bins) ? clippedRanges[method](bins) : bins;
      measured.set(name, { range, noise: isCountable(bins) ? estimateNoise(bins, range, bits.get(name) ?? 8) : 0 });
    }
  }
  return new Map(values.map((value) => [value, measured.get(value.name) ?? { range: emptyRange, noise: 0 }]));
}

const emptyRange: ValueRange = { min: 0, max: 0 };

function isCountable({ min, max }: ValueRange = emptyRange): boolean {
  return Number.isFinite(max - min) && (min < 0 || max > 0);
}

export function missingData(owner: "quantize" | "fake-quantize"): PithError {
  return optionError(`${owner}: "data": the static scheme measures ranges on data, but no data is given.`, {
    hint: `Pass a data set, or choose another scheme: "weights"${owner === "quantize" ? ' and "dynamic" need' : " needs"} none.`,
  });
}
