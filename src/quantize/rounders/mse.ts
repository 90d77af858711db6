/**
 * Scales by least squares: of each slice the range is cut to p · [min, max], with the p for which
 *
 *     Σ (x - s · (clamp(round(x / s) + z, low, high) - z))²
 *
 * is smallest. What few large numbers lose by it, many small ones gain in resolution: the more, the fewer bits there are.
 * All ratios p = 1, 0.99, … 0.1 are tried: with outliers and few bits the error has several minima.
 */
import { channelRanges, type ScaleAndZeroPoint, sliceSteps } from "../../math/index.ts";
import { toFloat32 } from "../../tensor/convert.ts";
import { alongAxis, elementCount } from "../../tensor/dims.ts";
import { roundHalfEven } from "../../tensor/round.ts";
import type { Dense } from "../../tensor/types.ts";
import { type Grid, mostSteps, scaleFor } from "../grid.ts";

/** Hundredths of the range. */
const smallest = 10;

export const mse = {
  id: "mse",
  summary: "scales of least mean squared error: outliers are clipped",
  scales(weight: Dense, grid: Grid): readonly ScaleAndZeroPoint[] {
    const values = toFloat32(weight);
    const ranges = channelRanges(weight, grid.axis);
    const { min, max } = ranges;
    const steps = sliceSteps(weight, grid.axis, ranges, mostSteps);
    const whole = { outer: 1, count: 1, inner: elementCount(weight.dims) };
    const { outer, count, inner } = grid.axis === undefined ? whole : alongAxis(weight.dims, grid.axis);
    const errorOf = (slice: number, { scale, zeroPoint }: ScaleAndZeroPoint): number => {
      const [low, high] = [grid.low - zeroPoint, grid.high - zeroPoint];
      let sum = 0;
      for (let block = 0; block < outer; block++) {
        const start = (block * count + slice) * inner;
        for (let at = start; at < start + inner; at++) {
          const value = values[at] ?? 0;
          sum += (value - scale * Math.min(high, Math.max(low, roundHalfEven(value / scale)))) ** 2;
        }
      }
      return sum;
    };
    return Array.from(min, (bottom, slice) => {
      const top = max[slice] ?? 0;
      let best = scaleFor(grid, bottom, top, steps[slice]);
      let least = errorOf(slice, best);
      for (let share = 99; share >= smallest; share--) {
        const tried = scaleFor(grid, (bottom * share) / 100, (top * share) / 100);
        const error = errorOf(slice, tried);
        if (error < least) [best, least] = [tried, error];
      }
      return best;
    });
  },
};
