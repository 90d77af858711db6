/**
 * Ranges of activations that leave out what is rare, from a histogram over the whole range:
 *
 *     percentile   the range without a share of 10⁻⁵ of the numbers, half of it at either end
 *     mse          p · [min, max] with the p = 1, 0.99, … 0.1 of least squared error of 8 bits, clipping included
 *     entropy      ± t with the least Kullback-Leibler divergence of 128 levels from the numbers within (Migacz 2017): for each t, p counts what lies
 *                  outside at the ends, q spreads each level over the parts where there is something; zeros, which every scale has exactly, are
 *                  left out: behind a Relu the levels around them would outweigh all others
 *
 * Bounds stay within the range, which contains 0.
 */
import type { Histogram } from "../calibrate/histogram.ts";
import type { ValueRange } from "../calibrate/observe.ts";

const outside = 1e-5;
const levels = 255;
const entropyLevels = 128;

export const clippedBy: Readonly<Record<"percentile" | "mse" | "entropy", (seen: Histogram) => ValueRange>> = {
  percentile({ min, max, counts }) {
    const width = (max - min) / counts.length;
    const total = counts.reduce((sum, count) => sum + count, 0);
    const cut = (total * outside) / 2;
    const partAt = (most: number, from: readonly number[]): number => {
      let sum = 0;
      for (const part of from) {
        sum += counts[part] ?? 0;
        if (sum > most) return part;
      }
      return from.at(-1) ?? 0;
    };
    const parts = Array.from(counts.keys());
    const [low, high] = [partAt(cut, parts), partAt(cut, parts.toReversed())];
    return within({ min, max }, min + low * width, min + (high + 1) * width);
  },
  mse({ min, max, counts }) {
    const width = (max - min) / counts.length;
    let best = { min, max, error: Number.POSITIVE_INFINITY };
    for (let share = 100; share >= 10; share--) {
      const [low, high] = [(Math.min(min, 0) * share) / 100, (Math.max(max, 0) * share) / 100];
      const step = (high - low) / levels;
      let error = 0;
      for (const [part, count] of counts.entries()) {
        if (count === 0) continue;
        const value = min + (part + 0.5) * width;
        error += count * (value - Math.round(Math.min(high, Math.max(low, value)) / step) * step) ** 2;
      }
      if (error < best.error) best = { min: low, max: high, error };
    }
    return within({ min, max }, best.min, best.max);
  },
  entropy({ min, max, counts }) {
    const reach = Math.max(-min, max);
    const width = (max - min) / counts.length;
    const sizes = new Float64Array(counts.length);
    const zero = Math.min(counts.length - 1, Math.floor(-min / width));
    const beside = [counts[zero - 1], counts[zero + 1]].filter((count) => count !== undefined);
    for (const [part, count] of counts.entries()) {
      const size = Math.abs(min + (part + 0.5) * width);
      const at = Math.min(sizes.length - 1, Math.floor((size / reach) * sizes.length));
      sizes[at] = (sizes[at] ?? 0) + (part === zero ? Math.min(count, ...beside) : count);
    }
    let best = { parts: sizes.length, divergence: Number.POSITIVE_INFINITY };
    const stride = sizes.length / 512;
    for (let parts = entropyLevels; parts <= sizes.length; parts += stride) {
      const found = divergence(sizes, parts);
      if (found < best.divergence) best = { parts, divergence: found };
    }
    const limit = (best.parts / sizes.length) * reach;
    return within({ min, max }, -limit, limit);
  },
};

/** KL(p ‖ q) of the first so many parts; what is nowhere in q, but in p, counts with a probability of 10⁻⁴ of a part. */
function divergence(sizes: Float64Array, parts: number): number {
  const p = sizes.slice(0, parts);
  const rest = sizes.subarray(parts).reduce((sum, count) => sum + count, 0);
  p[parts - 1] = (p[parts - 1] ?? 0) + rest;
  const q = new Float64Array(parts);
  for (let level = 0; level < entropyLevels; level++) {
    const [from, to] = [level, level + 1].map((at) => Math.floor((at * parts) / entropyLevels)) as [number, number];
    const own = sizes.subarray(from, to);
    const filled = own.reduce((count, one) => count + (one > 0 ? 1 : 0), 0);
    const mean = filled === 0 ? 0 : own.reduce((sum, count) => sum + count, 0) / filled;
    for (let part = from; part < to; part++) q[part] = (sizes[part] ?? 0) > 0 ? mean : 0;
  }
  const [sumP, sumQ] = [p, q].map((all) => all.reduce((sum, count) => sum + count, 0)) as [number, number];
  let total = 0;
  for (let part = 0; part < parts; part++) {
    const own = (p[part] ?? 0) / sumP;
    if (own > 0) total += own * Math.log(own / Math.max((q[part] ?? 0) / sumQ, 1e-4 / parts));
  }
  return total;
}

function within({ min, max }: ValueRange, low: number, high: number): ValueRange {
  return { min: Math.max(min, Math.min(low, 0)), max: Math.min(max, Math.max(high, 0)) };
}
