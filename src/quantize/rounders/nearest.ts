import { channelRanges, type ScaleAndZeroPoint, sliceSteps } from "../../math/index.ts";
import type { Dense } from "../../tensor/types.ts";
import { type Grid, mostSteps, scaleFor } from "../grid.ts";

/** Scales over the whole range of the numbers, each of which goes to the nearest code: nothing is cut off, as ONNX Runtime does it. Numbers on a grid of few enough steps stay. */
export const nearest = {
  id: "nearest",
  summary: "scales over the whole range: nothing is clipped",
  ofRange: scaleFor,
  scales(weight: Dense, grid: Grid): readonly ScaleAndZeroPoint[] {
    const ranges = channelRanges(weight, grid.axis);
    const steps = sliceSteps(weight, grid.axis, ranges, mostSteps);
    return Array.from(ranges.min, (low, slice) => scaleFor(grid, low, ranges.max[slice] ?? 0, steps[slice]));
  },
};
