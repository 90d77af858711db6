/** Computes and checks the scales and zero points of a layer's weight by the rounding method. */
import type { Layer } from "#analysis";
import { type Dense, optionError, type PithError } from "#ir";
import type { Grid, LayerContext, ScaledGrid, SlicedWeight, Solver } from "../../calibrate/solver.ts";
import { type ScaleAndZeroPoint, smallestScale } from "../../shared/affine-codes.ts";
import { awaitedAnswerOf } from "../../shared/methods.ts";
import { centerOf, computeScale, gridOf, maxSteps, type PerAxis, symmetricGrid } from "../grid.ts";
import { channelRanges, sliceSteps } from "../quantize-tensor.ts";
import { nearest } from "../rounders/nearest.ts";
import {
  existingRounding,
  type Rounding,
  type RoundingSource,
  type SliceRange,
  withLayerName,
} from "./rounding-source.ts";
import { gridWithoutOverflow, neighborSums } from "./scales-without-overflow.ts";
import { sliceWeight } from "./sliced-weight.ts";
import { scaleAxis, type WeightSettings } from "./weight-settings.ts";

export async function scaledGrid(
  layer: Layer,
  read: () => Promise<Dense>,
  { type, perChannel, bits, zeroPoints }: WeightSettings,
  rounding: Rounding,
): Promise<ScaledGrid & PerAxis> {
  const { rounder } = rounding;
  const learnedRounding = existingRounding(layer, rounding);
  if (learnedRounding !== undefined) {
    const scale = Float32Array.from(learnedRounding.scale);
    const grid = symmetricGrid(type, learnedRounding.axis, learnedRounding);
    return { ...grid, scale, zeroPoint: new Int32Array(scale.length).fill(centerOf(grid)) };
  }
  const grid = gridOf(type, perChannel ? scaleAxis(layer) : undefined, bits, zeroPoints);
  const scales = await withLayerName(layer, async () => {
    if (rounder.scales === nearest.scales) {
      const ranges = measuredRanges(layer, grid, rounding) ?? rangesOf(await read(), grid.axis);
      return checkScales(
        rounder,
        grid,
        ranges.map(({ min, max, steps }) => computeScale(grid, min, max, steps)),
      );
    }
    const dense = await read();
    const outputs = grid.axis === undefined ? 1 : (dense.dims[grid.axis] ?? 0);
    return rounding.roundOnce(layer, dense, grid, (context) =>
      computeScales(rounder, grid, sliceWeight(layer, dense, outputs), context),
    );
  });
  return { ...grid, ...scales };
}

const measuredRanges = ({ effective: { tensor } }: Layer, { axis }: PerAxis, { measured }: RoundingSource) =>
  tensor && measured.get(tensor)?.ranges?.get(axis);

export function rangesOf(dense: Dense, axis: number | undefined): readonly SliceRange[] {
  const { min, max } = channelRanges(dense, axis);
  const steps = sliceSteps(dense, axis, { min, max }, maxSteps);
  return Array.from(min, (lowest, slice) => ({ min: lowest, max: max[slice] ?? 0, steps: steps[slice] ?? 0 }));
}

/** Refines a 7-bit grid of "nearest" by the sums of neighboring weights (`scales-without-overflow.ts`). */
export async function refineGrid(
  layer: Layer,
  read: () => Promise<Dense>,
  grid: ScaledGrid & PerAxis,
  { bits, kernels }: WeightSettings,
  rounding: Rounding,
): Promise<ScaledGrid & PerAxis> {
  if (bits !== 7 || rounding.rounder !== nearest || !grid.symmetric) return grid;
  if (existingRounding(layer, rounding) !== undefined) return grid;
  const dense = await read();
  const pairSums = neighborSums(dense, scaleAxis(layer), layer.role, kernels);
  const ranges = measuredRanges(layer, grid, rounding) ?? rangesOf(dense, grid.axis);
  return gridWithoutOverflow(grid, (slice) => ({
    ...(ranges[slice] ?? { min: 0, max: 0, steps: 0 }),
    pairSum: grid.axis === undefined ? pairSums.reduce((a, b) => Math.max(a, b), 0) : (pairSums[slice] ?? 0),
  }));
}

export async function computeScales(
  rounder: Solver,
  grid: Grid,
  weight: SlicedWeight,
  context: LayerContext,
): Promise<Scales> {
  const method = `The rounder "${rounder.id}"`;
  const scales = await awaitedAnswerOf(method, () => rounder.scales?.(weight, grid, context));
  if (!Array.isArray(scales)) throw optionError(`${method} gives no list of { scale, zeroPoint }.`);
  if (scales.length !== weight.slices)
    throw optionError(`${method} gives ${scales.length} scales for ${weight.slices} slices.`);
  return checkScales(rounder, grid, scales);
}

type Scales = Pick<ScaledGrid, "scale" | "zeroPoint">;

function checkScales({ id }: Solver, grid: Grid, scales: readonly ScaleAndZeroPoint[]): Scales {
  const reject = (text: string): PithError => optionError(`The rounder "${id}" ${text}.`);
  const center = grid.symmetric ? centerOf(grid) : undefined;
  for (const { scale, zeroPoint } of scales) {
    // Scales of blocks can be negative, and 0 if all values are 0.
    if (!(Number.isFinite(scale) && (grid.block !== undefined || scale >= smallestScale)))
      throw reject(`gives the scale ${scale}: it must be ${grid.block === undefined ? "positive" : "finite"}`);
    if (zeroPoint !== (center ?? Math.min(grid.high, Math.max(grid.low, Math.round(zeroPoint)))))
      throw reject(
        `gives the zero point ${zeroPoint}: ${center ?? `a code from ${grid.low} to ${grid.high}`} is expected`,
      );
  }
  return {
    scale: Float32Array.from(scales, ({ scale }) => scale),
    zeroPoint: Int32Array.from(scales, ({ zeroPoint }) => zeroPoint),
  };
}
