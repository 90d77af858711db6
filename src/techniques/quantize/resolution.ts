/**
 * Decides whether b bits, 8 or 16, resolve a value. Over a range from min to max, which contains 0, the step is
 *
 *     s = (max - min) / (2ᵇ - 1)
 *
 * and values nearer 0 than s / 2 become 0. A few huge values, such as the -1e9 of masks, make all other values 0. The measure is the
 * lost share of the bulk (the values that are not 0 and whose magnitude is below a quarter of the largest):
 *
 *     lost = share of the bulk with |x| < s / 2
 *
 * With a mask, the bulk is lost entirely, because all scores are either in the bulk or near the largest value.
 */

import type { Value } from "../../core/graph/graph.ts";
import { smallestScale } from "../../core/math/quantize.ts";
import { counted, integer } from "../../core/numbers.ts";
import type { Context } from "../../core/pass/pass.ts";
import { fromNumbers, toFloat64 } from "../../core/tensor/convert.ts";
import { type Dense, typeCodes } from "../../core/tensor/types.ts";
import type { Histogram } from "../calibrate/histogram.ts";
import type { ValueRange } from "../calibrate/observe.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import type { MeasureOptions } from "./activation-scales.ts";

/** Maximum lost share of the bulk. `needed`: a layer needs the quantized value. `free`: the value can stay in float. */
const maxLost = { needed: 0.99, free: 0.5 };

export const isUnresolved = (lost: number, kind: keyof typeof maxLost = "needed"): boolean => lost > maxLost[kind];

/**
 * Returns why no scale represents a range well, as text that follows a value's name; undefined if a scale does. The lost share is at
 * most 0.2 in networks without outliers, and 0.6 to 0.8 in a residual sum with one channel 100 times as large as the others.
 * @param kind whether layers need the quantized value.
 */
export function explainUnfitRange(
  range: ValueRange,
  lost: number,
  kind: keyof typeof maxLost = "needed",
  bits = 8,
): string | undefined {
  const { min, max } = range;
  if (min > max) return "has no elements in any sample, and so no range";
  const notFiniteReason = explainNotFinite(range);
  if (notFiniteReason !== undefined) return notFiniteReason;
  const { step, largest } = stepOf(range, bits);
  if (largest > 0 && step < smallestScale)
    return `is at most ${largest.toExponential(1)}: too small for a float32 scale`;
  if (!isUnresolved(lost, kind)) return undefined;
  return `ranges from ${formatNumber(min)} to ${formatNumber(max)}: ${bits} bits would not resolve most of its values`;
}

export function explainNotFinite({ min, max }: ValueRange): string | undefined {
  if (Number.isNaN(min) || Number.isNaN(max)) return "holds NaN";
  return Number.isFinite(min) && Number.isFinite(max) ? undefined : "contains infinite values";
}

export function measureLostShare(dense: Dense, range: ValueRange, bits: number): number {
  const { step, largest } = stepOf(range, bits);
  const bulk = toFloat64(dense).filter((value) => value !== 0 && Math.abs(value) < largest / 4);
  return bulk.length === 0 ? 0 : bulk.filter((value) => Math.abs(value) < step / 2).length / bulk.length;
}

/** Estimates from a histogram the share of the bulk that quantization rounds to 0, assuming that values are spread evenly within each bin. */
export function estimateLostShare({ counts, start, width, zeros }: Histogram, range: ValueRange, bits: number): number {
  const { step, largest } = stepOf(range, bits);
  const below = (bound: number): number => {
    let sum = 0;
    for (const [bin, count] of counts.entries()) {
      const from = start + bin * width;
      const nearest = from < 0 ? -from - width : from;
      const nonzero = from === 0 ? count - zeros : count;
      if (nearest < bound) sum += nonzero * Math.min(1, (bound - nearest) / width);
    }
    return sum;
  };
  const bulk = below(largest / 4);
  return bulk > 0 ? below(step / 2) / bulk : 0;
}

export function lostShareStatistic(range: ValueRange, bits: number): Statistic<number> {
  const { step, largest } = stepOf(range, bits);
  const bounds = [2 ** -149, step / 2, largest / 4];
  return {
    // Counts the values that are 0, nearer 0 than half a step, and below a quarter of the largest.
    reduce(emit, value) {
      const size = emit.Abs([value]);
      return bounds.map((bound) => {
        const limit = emit.constant(fromNumbers("float32", [], [bound]), "bound");
        return emit.ReduceSum([emit.Cast([emit.Less([size, limit])], { to: typeCodes.float32 })], { keepdims: 0 });
      });
    },
    begin() {
      let [zeros, small, below] = [0, 0, 0];
      return {
        add(batch) {
          const { data } = batch.matrix();
          for (let index = 0; index < data.length; index += 3) {
            zeros += data[index] ?? 0;
            small += data[index + 1] ?? 0;
            below += data[index + 2] ?? 0;
          }
        },
        end: () => (below > zeros ? (small - zeros) / (below - zeros) : 0),
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

/** Warns about activations that stay in float because 8 bits do not resolve their range. */
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
  const text = `${counted(unresolved.size, "activation")} in float: their range is too wide for 8 bits to resolve most values (${example}${moreText}). This costs speed, not accuracy.${remedy}`;
  log({ id: "unresolved", text });
}
