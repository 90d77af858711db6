import type { Grid, SlicedWeight } from "../../calibrate/solver.ts";
import type { ScaleAndZeroPoint } from "../../shared/affine-codes.ts";
import { blockScales } from "../../shared/blocks.ts";
import { bitsOfBlocks, computeScale, rangeOf } from "../grid.ts";

/** Rounds to nearest with scales over the whole range, like ONNX Runtime. Values that are integer multiples of a step can stay exact. */
export const nearest = {
  id: "nearest",
  summary: "round to the nearest value; the largest weight fits, so nothing is clipped",
  scales({ matrices, slices, numbers }: SlicedWeight, grid: Grid): readonly ScaleAndZeroPoint[] {
    if (grid.block === undefined)
      return Array.from({ length: slices }, (_, slice) => {
        const { min, max, steps } = rangeOf(numbers(slice));
        return computeScale(grid, min, max, steps);
      });
    const settings = { size: grid.block, bits: bitsOfBlocks(grid), symmetric: grid.symmetric };
    return matrices.flatMap(({ rows, columns: width, data }) => {
      const { scale, zeroPoint } = blockScales(Float32Array.from(data), { rows, width, areColumns: false }, settings);
      return Array.from(scale, (sliceScale, slice) => ({ scale: sliceScale, zeroPoint: zeroPoint[slice] ?? 0 }));
    });
  },
};
