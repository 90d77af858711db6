/**
 * Chooses scales by the output error (sequential MSE of AIMET): the range of each slice is clipped to p · [min, max] with the p that minimizes
 *
 *     (ŵ − w) G (ŵ − w)ᵀ,     G = Σ x xᵀ of the inputs from the already rounded layers
 */
import { type Matrix, matrix, sliceColumns, sliceRows } from "../../../core/math/matrix.ts";
import type { Gram } from "../../calibrate/gram.ts";
import type { Grid, LayerContext, SlicedWeight } from "../../calibrate/solver.ts";
import type { ScaleAndZeroPoint } from "../../shared/affine-codes.ts";
import { dampDiagonal } from "../../shared/optimal-brain-surgeon.ts";
import { computeScale, roundToGrid } from "../grid.ts";
import { mse } from "./mse.ts";

/** Candidate scales cover 20/20, 19/20 … 5/20 of the range. A further candidate has the lowest squared weight error. */
const [divisions, minDivision] = [20, 5];

/** Maximum number of elements of the differences that one product takes: those of several candidates, below each other. */
const maxElements = 2 ** 20;

export async function scalesByOutputError(
  weight: SlicedWeight,
  grid: Grid,
  { evidence, multiply }: LayerContext<Gram | undefined>,
): Promise<readonly ScaleAndZeroPoint[]> {
  if (evidence === undefined) return mse.scales(weight, grid);
  const { groups } = evidence;
  const { matrices, slices, numbers, sliceAt } = weight;
  const ranges = Array.from({ length: slices }, (_, slice) => {
    const values = numbers(slice);
    return [values.reduce((a, b) => Math.min(a, b), 0), values.reduce((a, b) => Math.max(a, b), 0)] as const;
  });
  const leastSquares = mse.scales(weight, grid);
  const shares = Array.from({ length: divisions - minDivision + 1 }, (_, index) => (divisions - index) / divisions);
  const candidates = [
    leastSquares,
    ...shares.map((share) => ranges.map(([min, max]) => computeScale(grid, min * share, max * share))),
  ];
  const errors = candidates.map(() => new Float64Array(slices));
  for (const [group, { rows, columns, data }] of matrices.entries()) {
    const [groupGram, width] = [groups[group], grid.block ?? columns];
    // Damping gives inputs that are zero in all samples a small weight, so that their weights are not clipped.
    const gram = groupGram && dampDiagonal(groupGram);
    for (let from = 0; gram !== undefined && from < columns; from += width) {
      const to = Math.min(columns, from + width);
      const block = sliceColumns(sliceRows(gram, from, to), from, to);
      const length = to - from;
      const perProduct = Math.max(1, Math.floor(maxElements / (rows * length)));
      for (let first = 0; first < candidates.length; first += perProduct) {
        const triedScales = candidates.slice(first, first + perProduct);
        const difference = matrix(triedScales.length * rows, length);
        for (const [index, scales] of triedScales.entries()) {
          for (let row = 0; row < rows; row++) {
            const scale = scales[sliceAt(group, row, from)];
            for (let column = 0; scale !== undefined && column < length; column++) {
              const value = data[row * columns + from + column] ?? 0;
              difference.data[(index * rows + row) * length + column] = roundToGrid(grid, scale, value) - value;
            }
          }
        }
        const product = await multiply(difference, block);
        for (let row = 0; row < difference.rows; row++) {
          const sums = errors[first + Math.floor(row / rows)] ?? new Float64Array();
          const slice = sliceAt(group, row % rows, from);
          sums[slice] = (sums[slice] ?? 0) + rowDot(difference, product, row);
        }
      }
    }
  }
  return leastSquares.map((first, slice) => {
    let [best, minError] = [first, Number.POSITIVE_INFINITY];
    for (const [index, scales] of candidates.entries()) {
      const [scale, error = Number.NaN] = [scales[slice], errors[index]?.[slice]];
      if (scale !== undefined && error < minError) [best, minError] = [scale, error];
    }
    return best;
  });
}

function rowDot({ columns, data }: Matrix, other: Matrix, row: number): number {
  let sum = 0;
  for (let index = row * columns; index < (row + 1) * columns; index++)
    sum += (data[index] ?? 0) * (other.data[index] ?? 0);
  return sum;
}
