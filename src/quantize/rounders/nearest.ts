import { channelRanges, type ScaleAndZeroPoint } from "../../math/index.ts";
import type { Dense } from "../../tensor/types.ts";
import { type Grid, scaleFor } from "../grid.ts";

/** Scales over the whole range of the numbers, each of which goes to the nearest code: nothing is cut off, as ONNX Runtime does it. */
export const nearest = {
  id: "nearest",
  summary: "scales over the whole range: nothing is clipped",
  ofRange: scaleFor,
  scales(weight: Dense, grid: Grid): readonly ScaleAndZeroPoint[] {
    const { min, max } = channelRanges(weight, grid.axis);
    return Array.from(min, (low, slice) => scaleFor(grid, low, max[slice] ?? 0));
  },
};
