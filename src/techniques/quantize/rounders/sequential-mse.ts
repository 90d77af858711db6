import { type Matrix, matrix, type ScaleAndZeroPoint, sliceColumns, sliceRows } from "../../../core/math/index.ts";
import { damped } from "../../../core/math/optimal-brain-surgeon.ts";
import { type Gram, gramMatrices } from "../../calibrate/gram.ts";
import type { Grid, LayerContext, SlicedWeight, Solver } from "../../calibrate/solver.ts";
import { roundedTo, scaleFor } from "../grid.ts";
import { mse } from "./mse.ts";

/** Candidates are twentieths of the range, from 5/20, and the scale with the least squared weight error. */
const [parts, fewest] = [20, 5];

/**
 * Sequential MSE (AIMET): the range of each slice is cut to p · [min, max] with the p that minimizes the output error
 *
 *     (ŵ − w) G (ŵ − w)ᵀ,     G = Σ x xᵀ of the inputs from the already rounded layers
 *
 * so that samples need not be stored. Blocks of a row are independent. Embedding tables use the scales of `mse`.
 */
export async function scalesByAnswers(
  weight: SlicedWeight,
  grid: Grid,
  { evidence, multiply }: LayerContext<Gram | undefined>,
): Promise<readonly ScaleAndZeroPoint[]> {
  if (evidence === undefined) return mse.scales(weight, grid);
  const { groups } = evidence;
  const { matrices, slices, numbers, sliceAt } = weight;
  const ranges = Array.from({ length: slices }, (_, slice) => {
    const own = numbers(slice);
    return [own.reduce((a, b) => Math.min(a, b), 0), own.reduce((a, b) => Math.max(a, b), 0)] as const;
  });
  const usual = mse.scales(weight, grid);
  const cuts = Array.from({ length: parts - fewest + 1 }, (_, at) => (parts - at) / parts);
  const candidates = [usual, ...cuts.map((cut) => ranges.map(([min, max]) => scaleFor(grid, min * cut, max * cut)))];
  const errors = candidates.map(() => new Float64Array(slices));
  for (const [group, { rows, columns, data }] of matrices.entries()) {
    const [seen, width] = [groups[group], grid.block ?? columns];
    // Damping: inputs that are zero in all samples count a little, so that their weights are not clipped.
    const gram = seen && damped(seen);
    for (let from = 0; gram !== undefined && from < columns; from += width) {
      const to = Math.min(columns, from + width);
      const block = sliceColumns(sliceRows(gram, from, to), from, to);
      const apart = matrix(rows, to - from);
      for (const [at, scales] of candidates.entries()) {
        for (let row = 0; row < rows; row++) {
          const own = scales[sliceAt(group, row, from)];
          for (let column = from; own !== undefined && column < to; column++) {
            const value = data[row * columns + column] ?? 0;
            apart.data[row * (to - from) + column - from] = roundedTo(grid, own, value) - value;
          }
        }
        const moved = await multiply(apart, block);
        const sums = errors[at] ?? new Float64Array();
        for (let row = 0; row < rows; row++) {
          const slice = sliceAt(group, row, from);
          sums[slice] = (sums[slice] ?? 0) + rowDot(apart, moved, row);
        }
      }
    }
  }
  return usual.map((first, slice) => {
    let [best, least] = [first, Number.POSITIVE_INFINITY];
    for (const [at, scales] of candidates.entries()) {
      const [own, error = Number.NaN] = [scales[slice], errors[at]?.[slice]];
      if (own !== undefined && error < least) [best, least] = [own, error];
    }
    return best;
  });
}

function rowDot({ columns, data }: Matrix, other: Matrix, row: number): number {
  let sum = 0;
  for (let at = row * columns; at < (row + 1) * columns; at++) sum += (data[at] ?? 0) * (other.data[at] ?? 0);
  return sum;
}

export const sequentialMse = {
  id: "sequential-mse",
  summary: "scales with the lowest error in the layer's outputs (needs samples)",
  evidence: gramMatrices,
  of: "changed",
  blind: true,
  scales: scalesByAnswers,
} satisfies Solver<Gram | undefined>;
