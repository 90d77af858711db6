/**
 * Scales by least squares: the range of each slice is clipped to p · [min, max] with the p that minimizes
 *
 *     Σ (x - s · (clamp(round(x / s) + z, low, high) - z))²
 *
 * All p = 1, 0.99, … 0.1 are tried: with outliers and few bits the error has several minima.
 */

import { type Matrix, matrix } from "../../../core/math/matrix.ts";
import type { ScaleAndZeroPoint } from "../../../core/math/quantize.ts";
import { roundHalfEven } from "../../../core/tensor/round.ts";
import type { Grid, SlicedWeight } from "../../calibrate/solver.ts";
import { computeScale, rangeOf } from "../grid.ts";

/** Smallest p in percent. */
const minPercent = 10;

export const mse = {
  id: "mse",
  summary: "scales with the lowest mean squared error; clips outliers",
  scales: (weight: SlicedWeight, grid: Grid): readonly ScaleAndZeroPoint[] => leastSquares(weight, grid),
};

/** @param importance for each group, the weight of the squared errors in each column (default: 1). */
export function leastSquares(
  { slices, numbers, matrices, like }: SlicedWeight,
  grid: Grid,
  importance?: readonly Float64Array[],
): readonly ScaleAndZeroPoint[] {
  const weights =
    importance === undefined
      ? undefined
      : like(matrices.map(({ rows, columns }, group) => repeatRow(importance[group], rows, columns)));
  return Array.from({ length: slices }, (_, slice) => findBestScale(numbers(slice), grid, weights?.numbers(slice)));
}

const repeatRow = (row: Float64Array | undefined, rows: number, columns: number): Matrix => {
  const result = matrix(rows, columns);
  if (row !== undefined) for (let index = 0; index < rows; index++) result.data.set(row, index * columns);
  return result;
};

function findBestScale(numbers: Float64Array, grid: Grid, weights?: Float64Array): ScaleAndZeroPoint {
  const errorOf = ({ scale, zeroPoint }: ScaleAndZeroPoint): number => {
    const [low, high] = [grid.low - zeroPoint, grid.high - zeroPoint];
    let sum = 0;
    for (let index = 0; index < numbers.length; index++) {
      const value = numbers[index] ?? 0;
      const error = (value - scale * Math.min(high, Math.max(low, roundHalfEven(value / scale)))) ** 2;
      sum += weights === undefined ? error : error * (weights[index] ?? 0);
    }
    return sum;
  };
  const { min, max, steps } = rangeOf(numbers);
  let best = computeScale(grid, min, max, steps);
  let minError = errorOf(best);
  for (let share = 99; share >= minPercent; share--) {
    const candidate = computeScale(grid, (min * share) / 100, (max * share) / 100);
    const error = errorOf(candidate);
    if (error < minError) [best, minError] = [candidate, error];
  }
  return best;
}
