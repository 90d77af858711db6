/**
 * Decides whether b bits, 8 or 16, resolve a value. Over a range from min to max, which contains 0, the step is
 *
 *     s = (max - min) / (2ᵇ - 1)
 *
 * and rounding adds noise with the power s² / 12. A few huge values, such as the -1e9 of masks or an outlier channel, make
 * the step too large for all other values. The measure is the noise relative to the bulk (the values that are not 0 and
 * whose magnitude is below a quarter of the largest):
 *
 *     noise = s² / 12 / mean x² of the bulk
 */
import { counted, type Dense, integer, toFloat64, type Value } from "#ir";
import type { Context } from "#pass";
import type { Histogram } from "../calibrate/histogram.ts";
import type { ValueRange } from "../calibrate/observe.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import { smallestScale } from "../shared/affine-codes.ts";
import type { MeasureOptions } from "./activation-scales.ts";

/** Maximum noise. A layer that needs a value stays in float with it, so 8 bits must lose most of such a value. */
const maxNoise = { needed: 1, free: 0.005 };

export const isUnresolved = (noise: number, kind: keyof typeof maxNoise = "needed"): boolean => noise > maxNoise[kind];

/** Returns why no scale represents a range well, as text after a value's name. @param kind whether layers need the quantized value. */
export function explainUnfitRange(
  range: ValueRange,
  noise: number,
  kind: keyof typeof maxNoise = "needed",
  bits = 8,
): string | undefined {
  const { min, max } = range;
  if (min > max) return "has no elements in any sample, and so no range";
  const notFiniteReason = explainNotFinite(range);
  if (notFiniteReason !== undefined) return notFiniteReason;
  const { step, largest } = stepOf(range, bits);
  if (largest > 0 && step < smallestScale)
    return `is at most ${largest.toExponential(1)}: too small for a float32 scale`;
  if (!isUnresolved(noise, kind)) return undefined;
  return `ranges from ${formatNumber(min)} to ${formatNumber(max)}: ${bits} bits would not resolve most of its values`;
}

export function explainNotFinite({ min, max }: ValueRange): string | undefined {
  if (Number.isNaN(min) || Number.isNaN(max)) return "holds NaN";
  return Number.isFinite(min) && Number.isFinite(max) ? undefined : "contains infinite values";
}

function noiseOf(squares: number, count: number, step: number): number {
  return squares > 0 ? (step * step * count) / 12 / squares : 0;
}

export function measureNoise(dense: Dense, range: ValueRange, bits: number): number {
  const { step, largest } = stepOf(range, bits);
  const bulk = toFloat64(dense).filter((value) => value !== 0 && Math.abs(value) < largest / 4);
  return noiseOf(
    bulk.reduce((sum, value) => sum + value * value, 0),
    bulk.length,
    step,
  );
}

/** Estimates the noise from a histogram, with the mean square of each bin. */
export function estimateNoise({ counts, start, width, zeros }: Histogram, range: ValueRange, bits: number): number {
  const { step, largest } = stepOf(range, bits);
  let [squares, total] = [0, 0];
  for (const [bin, count] of counts.entries()) {
    const center = start + (bin + 0.5) * width;
    if (Math.abs(center) >= largest / 4) continue;
    const nonzero = Math.abs(center) <= width / 2 ? Math.max(0, count - zeros) : count;
    squares += nonzero * (center * center + (width * width) / 12);
    total += nonzero;
  }
  return noiseOf(squares, total, step);
}

/** Number of values of a batch above which few are read. The stride is irrational, so it reads every channel. */
const [manyValues, sparseStride] = [2 ** 14, 3 + Math.sqrt(5)];

export function noiseStatistic(range: ValueRange, bits: number): Statistic<number> {
  const { step, largest } = stepOf(range, bits);
  return {
    begin() {
      let [total, squares] = [0, 0];
      return {
        add({ values }) {
          const numbers = values();
          const stride = numbers.length < manyValues ? 1 : sparseStride;
          for (let index = 0, count = 0; index < numbers.length; index = Math.floor(++count * stride)) {
            const size = Math.abs(numbers[index] ?? 0);
            if (size === 0 || size >= largest / 4) continue;
            total += 1;
            squares += size * size;
          }
        },
        end: () => noiseOf(squares, total, step),
      };
    },
  };
}

function stepOf({ min, max }: ValueRange, bits: number): { readonly step: number; readonly largest: number } {
  const [low, high] = [Math.min(min, 0), Math.max(max, 0)];
  return { step: (high - low) / (2 ** bits - 1), largest: Math.max(-low, high) };
}

/** Formats a number with three significant digits: -1e9, 6.29. */
export function formatNumber(value: number): string {
  const rounded = Number(value.toPrecision(3));
  return Math.abs(rounded) < 1e6 ? String(rounded) : rounded.toExponential().replace("+", "");
}

export function reportUnresolved(
  unresolved: ReadonlyMap<Value, ValueRange>,
  { equalize, ranges = "min-max" }: Pick<MeasureOptions, "equalize" | "ranges">,
  { log }: Pick<Context, "log">,
): void {
  if (unresolved.size === 0) return;
  const [[first, { min, max }] = [undefined, { min: 0, max: 0 }]] = unresolved;
  const example = `"${first?.name}" from ${formatNumber(min)} to ${formatNumber(max)}`;
  const moreText = unresolved.size > 1 ? `, and ${integer(unresolved.size - 1)} more` : "";
  const advice = [
    ...(equalize === false ? ["omit `equalize: false`, because equalization makes channel ranges similar"] : []),
    ...(ranges === "min-max" ? ['`ranges: "percentile"` clips rare outliers (compare the accuracy)'] : []),
  ];
  const remedy = advice.length === 0 ? "" : ` To change that: ${advice.join("; ")}.`;
  const text = `${counted(unresolved.size, "activation")} in float: ${unresolved.size === 1 ? "its" : "their"} range is too wide to resolve most values (${example}${moreText}). This costs speed, not accuracy.${remedy}`;
  log({ id: "unresolved", text });
}
