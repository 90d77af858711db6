/**
 * Chooses scales by the output error (sequential MSE of AIMET): the range of each slice is clipped to p · [min, max] with the p that minimizes
 *
 *     (ŵ − w) G (ŵ − w)ᵀ,     G = Σ x xᵀ of the inputs from the already rounded layers
 *
 * so that samples need not be stored. Blocks of a row are independent. Embedding tables use the scales of `mse`.
 */
import { type Matrix, matrix, sliceColumns, sliceRows } from "../../../core/math/matrix.ts";
import type { Gram } from "../../calibrate/gram.ts";
import type { Grid, LayerContext, SlicedWeight } from "../../calibrate/solver.ts";
import { dampDiagonal } from "../../shared/optimal-brain-surgeon.ts";
import type { ScaleAndZeroPoint } from "../../shared/quantize.ts";
import { computeScale, roundToGrid } from "../grid.ts";
import { mse } from "./mse.ts";

/** Candidate scales cover 20/20, 19/20 … 5/20 of the range. A further candidate has the lowest squared weight error. */
const [divisions, minDivision] = [20, 5];

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
      const difference = matrix(rows, to - from);
      for (const [index, scales] of candidates.entries()) {
        for (let row = 0; row < rows; row++) {
          const scale = scales[sliceAt(group, row, from)];
          for (let column = from; scale !== undefined && column < to; column++) {
            const value = data[row * columns + column] ?? 0;
            difference.data[row * (to - from) + column - from] = roundToGrid(grid, scale, value) - value;
          }
        }
        const product = await multiply(difference, block);
        const sums = errors[index] ?? new Float64Array();
        for (let row = 0; row < rows; row++) {
          const slice = sliceAt(group, row, from);
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
