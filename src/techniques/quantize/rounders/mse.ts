/**
 * Scales by least squares: the range of each slice is clipped to p · [min, max] with the p that minimizes
 *
 *     Σ (x - s · (clamp(round(x / s) + z, low, high) - z))²
 *
 * p = 1, 0.99, … 0.1 are tried, because with outliers and few bits the error has several minima.
 */
import { type Matrix, matrix } from "../../../core/math/matrix.ts";
import { columnNorms } from "../../calibrate/column-statistics.ts";
import type { Grid, SlicedWeight, Solver } from "../../calibrate/solver.ts";
import { roundingShift, type ScaleAndZeroPoint } from "../../shared/affine-codes.ts";
import { computeScale, rangeOf } from "../grid.ts";

/** Smallest p in percent. */
const minPercent = 10;

export const mse = {
  id: "mse",
  summary: "as nearest, with the scale of the lowest squared error; clips large weights",
  scales: (weight: SlicedWeight, grid: Grid): readonly ScaleAndZeroPoint[] => leastSquares(weight, grid),
};

/** `mse` with each error times the energy of its input in the original: the output error of the layer if inputs are uncorrelated. */
export const outputMse = {
  ...mse,
  id: "output-mse",
  evidence: columnNorms,
  blind: true,
  scales(weight: SlicedWeight, grid: Grid, { evidence }: { readonly evidence: Float64Array | undefined }) {
    if (evidence === undefined) return leastSquares(weight, grid);
    const mean = evidence.reduce((sum, norm) => sum + norm ** 2, 0) / evidence.length;
    // An input that is zero in every sample can be nonzero later.
    const energies = evidence.map((norm) => norm ** 2 + damping * mean);
    const importanceOf = ({ columns }: Matrix, group: number) =>
      energies.subarray(group * columns, (group + 1) * columns);
    return leastSquares(weight, grid, weight.matrices.map(importanceOf));
  },
} satisfies Solver<Float64Array | undefined>;

/** Share of the mean energy that is added to each input. */
const damping = 0.01;

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
  const { min, max, steps } = rangeOf(numbers);
  let best = computeScale(grid, min, max, steps);
  let { error: minError } = errorOf(numbers, grid, best, weights, Number.POSITIVE_INFINITY);
  for (let share = 99; share >= minPercent; share--) {
    const candidate = computeScale(grid, (min * share) / 100, (max * share) / 100);
    const { error, clipped } = errorOf(numbers, grid, candidate, weights, minError);
    if (error < minError) [best, minError] = [candidate, error];
    // A smaller range clips more.
    else if (clipped > minError) break;
  }
  return best;
}

/** Number of values between two comparisons with the limit. */
const stretch = 32;

/** Returns the squared error of rounded values, and the part of clipped values. Stops at an error above `limit`. */
function errorOf(
  numbers: Float64Array,
  grid: Grid,
  { scale, zeroPoint }: ScaleAndZeroPoint,
  weights: Float64Array | undefined,
  limit: number,
): { readonly error: number; readonly clipped: number } {
  const low = (grid.low - zeroPoint) | 0;
  const high = (grid.high - zeroPoint) | 0;
  const shift = roundingShift;
  let error = 0;
  let clipped = 0;
  for (let from = 0; from < numbers.length && error <= limit; from += stretch) {
    const end = Math.min(numbers.length, from + stretch);
    for (let index = from; index < end; index++) {
      const value = numbers[index] ?? 0;
      const rounded = (value / scale + shift - shift) | 0;
      const code = rounded < low ? low : rounded > high ? high : rounded;
      const difference = value - scale * code;
      const square = difference * difference * (weights === undefined ? 1 : (weights[index] ?? 0));
      error += square;
      if (code !== rounded) clipped += square;
    }
  }
  return { error, clipped };
}
