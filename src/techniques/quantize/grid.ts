/**
 * The grid of a weight: (code - zero point) · scale with low ≤ code ≤ high, one scale per slice (`sliced-weight.ts`).
 *
 * ONNX Runtime's integer kernels accept one zero point, so grids with several scales are symmetric: uint8 is int8 plus 128.
 */

import {
  type BlockBits,
  blockScale,
  cutsOf,
  fullRange,
  type Matrix,
  matrix,
  type QuantizationRange,
  quantizationRange,
  type ScaleAndZeroPoint,
  scaleAndZeroPoint,
  smallestScale,
} from "../../core/math/index.ts";
import { roundHalfEven } from "../../core/tensor/round.ts";
import type { Grid, ScaledGrid, SlicedWeight } from "../calibrate/solver.ts";

/** Axis along which each index has a separate scale; undefined for a single scale. */
export interface Along {
  readonly axis: number | undefined;
}

export interface BlockSettings {
  readonly bits: BlockBits;
  readonly block: number;
  readonly symmetric: boolean;
}

export type WeightType = "int8" | "uint8" | "int4";

/**
 * The range of a bit width: 8 bits exclude the lowest value, as in ONNX Runtime; 7 are its reduced range, -64 … 64.
 * @param zeroPoints with a single scale, signed types also have a zero point; unsigned types always do.
 */
export function gridOf(
  type: WeightType,
  axis: number | undefined,
  bits = type === "int4" ? 4 : 8,
  zeroPoints = false,
): Grid & Along {
  const reduced = bits === 7 ? quantizationRange({ type, reduceRange: true }) : undefined;
  if (axis === undefined && (type === "uint8" || zeroPoints))
    return { type, axis, symmetric: false, ...(reduced ?? fullRange(type)) };
  if (reduced !== undefined) return symmetricGrid(type, axis, reduced);
  const high = 2 ** (bits - 1) - 1;
  return symmetricGrid(type, axis, { low: bits === 8 ? -high : -high - 1, high });
}

export function blockGrid({ bits, block, symmetric }: BlockSettings): Grid {
  const type = bits === 8 ? "uint8" : bits === 4 ? "uint4" : "uint2";
  return { type, block, symmetric, low: 0, high: 2 ** bits - 1 };
}

export const bitsOfBlocks = ({ high }: Grid): BlockBits => (high === 255 ? 8 : high === 15 ? 4 : 2);

/** Returns the grid of the integers `low` to `high` around 0, stored as int8, or as uint8 around 128. */
export function symmetricGrid(
  type: WeightType,
  axis: number | undefined,
  { low, high }: QuantizationRange,
): Grid & Along {
  const zero = middle[type];
  return { type, axis, symmetric: true, low: low + zero, high: high + zero };
}

const middle = { int8: 0, int4: 0, uint8: 128, uint4: 8, uint2: 2 } as const;

/**
 * Returns the quantized value nearest to a number, halves to even; the zero point if the scale is 0.
 * @example
 * import type { Solver } from "pith/calibrate";
 * import { nearestCode } from "pith/quantize";
 * const codes: Solver["codes"] = ({ matrices, sliceAt }, grid) =>
 *   matrices.map(({ rows, columns, data }, group) => ({
 *     ...{ rows, columns },
 *     data: data.map((value, at) =>
 *       nearestCode(grid, sliceAt(group, Math.floor(at / columns), at % columns), value)),
 *   }));
 */
export function nearestCode({ scale, zeroPoint, low, high }: ScaledGrid, slice: number, value: number): number {
  const [own = 0, zero = 0] = [scale[slice], zeroPoint[slice]];
  return own === 0 ? zero : Math.min(high, Math.max(low, roundHalfEven(value / own) + zero));
}

/** Returns the number rounded to the grid; 0 if the scale is 0. */
export function roundedTo(
  { low, high }: QuantizationRange,
  { scale, zeroPoint }: ScaleAndZeroPoint,
  value: number,
): number {
  if (scale === 0) return 0;
  return scale * Math.min(high - zeroPoint, Math.max(low - zeroPoint, roundHalfEven(value / scale)));
}

/** Returns matrices of the weight's sizes. @param becomes receives each value, its slice, its row, its group and its place there. */
export const mapWeight = (
  { matrices, sliceAt }: SlicedWeight,
  becomes: (value: number, slice: number, row: number, group: number, at: number) => number,
): readonly Matrix[] =>
  matrices.map(({ rows, columns, data }, group) =>
    matrix(
      rows,
      columns,
      data.map((value, at) => {
        const row = Math.floor(at / columns);
        return becomes(value, sliceAt(group, row, at % columns), row, group, at);
      }),
    ),
  );

export const nearestCodes = (weight: SlicedWeight, grid: ScaledGrid): readonly Matrix[] =>
  mapWeight(weight, (value, slice) => nearestCode(grid, slice, value));

/** Returns Δ Q − W. */
export const roundingErrors = (
  weight: SlicedWeight,
  { scale, zeroPoint }: ScaledGrid,
  codes: readonly Matrix[],
): readonly Matrix[] =>
  mapWeight(
    weight,
    (value, slice, _, group, at) =>
      ((codes[group]?.data[at] ?? 0) - (zeroPoint[slice] ?? 0)) * (scale[slice] ?? 0) - value,
  );

/** Maximum number of steps to detect in values that are already on a grid: the steps of 8 bits. */
export const mostSteps = 255;

/**
 * Returns the scale and zero point of a grid that covers `min` to `max`, or the same distance on the other side.
 * @param steps the values are integer multiples of their largest magnitude divided by `steps`, or 0 if they are not.
 */
export function scaleFor(grid: Grid, min: number, max: number, steps = 0): ScaleAndZeroPoint {
  const { type, symmetric, low, high } = grid;
  const exact = steps === 0 || grid.block !== undefined ? undefined : exactScale(grid, min, max, steps);
  if (exact !== undefined) return exact;
  if (grid.block !== undefined) return blockScale(min, max, { bits: bitsOfBlocks(grid), symmetric });
  if (!symmetric) return scaleAndZeroPoint(min, max, { type, symmetric, reduceRange: high - low === 128 });
  const [like, levels] = high - low === 15 ? (["int4", 15] as const) : (["int8", 254] as const);
  const { scale } = scaleAndZeroPoint(min, max, { type: like });
  return { scale: Math.fround(scale * (levels / (high - low))), zeroPoint: middle[type] };
}

/** Returns the zero point with about as many quantized values below as above. */
export const centerOf = ({ type, symmetric, low, high }: Grid): number =>
  symmetric ? middle[type] : Math.ceil((low + high) / 2);

/** Returns s for values j · s with integer j, halved while codes suffice; undefined if they do not, or the default scale is exact. */
function exactScale(
  { type, symmetric, low, high }: Grid,
  min: number,
  max: number,
  steps: number,
): ScaleAndZeroPoint | undefined {
  const [bottom, top] = [Math.min(min, 0), Math.max(max, 0)];
  const step = Math.fround(Math.max(-bottom, top) / steps);
  const [below, above] = [Math.round(-bottom / step), Math.round(top / step)];
  const codes = symmetric ? high - middle[type] : high - low;
  const wanted = symmetric ? steps : below + above;
  if (wanted > codes || (symmetric ? (high - low) / 2 : codes) % wanted === 0) return undefined;
  const cuts = cutsOf(wanted, codes);
  const scale = Math.fround(step / cuts);
  if (scale < smallestScale) return undefined;
  return { scale, zeroPoint: symmetric ? middle[type] : low + below * cuts };
}
