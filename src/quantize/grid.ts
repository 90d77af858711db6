/**
 * The grid that weights are rounded to: (code - zero point) · scale with low ≤ code ≤ high, a scale for each slice (`sliced-weight.ts`).
 *
 * Several scales need equal zero points (ONNX Runtime's integer kernels know one), so such a grid is symmetric whatever the type: uint8 holds
 * what int8 would hold, plus 128. (ONNX Runtime's quantizer spreads ±max over 0 … 255 around 127.5, where no integer is the zero point.)
 */
import type { Grid, ScaledGrid, SlicedWeight } from "../calibrate/solver.ts";
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
} from "../math/index.ts";
import { roundHalfEven } from "../tensor/round.ts";

/** The axis of a tensor along which each index has a scale of its own; undefined: one scale for all. */
export interface Along {
  readonly axis: number | undefined;
}

export interface BlockSettings {
  readonly bits: BlockBits;
  /** Inputs that share a scale. */
  readonly block: number;
  /** Without zero points. */
  readonly symmetric: boolean;
}

/** Types of codes in slices. */
export type WeightType = "int8" | "uint8" | "int4";

/**
 * The codes of so many bits. Eight leave out the most negative one, fewer have none to spare, as in ONNX Runtime; seven are its reduced range, -64 … 64.
 * @param zeroPoints with one scale for all, signed codes have a zero point, too; unsigned ones always have.
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

/** The codes of blocks of so many numbers. */
export function blockGrid({ bits, block, symmetric }: BlockSettings): Grid {
  const type = bits === 8 ? "uint8" : bits === 4 ? "uint4" : "uint2";
  return { type, block, symmetric, low: 0, high: 2 ** bits - 1 };
}

export const bitsOfBlocks = ({ high }: Grid): BlockBits => (high === 255 ? 8 : high === 15 ? 4 : 2);

/** Integers from `low` to `high` around 0, as int8, or as uint8 around 128. */
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
 * The code nearest to a number, halves to even; of a scale of 0 the zero point.
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

/** What the code nearest to a number stands for; nothing where the scale is 0. */
export function roundedTo(
  { low, high }: QuantizationRange,
  { scale, zeroPoint }: ScaleAndZeroPoint,
  value: number,
): number {
  if (scale === 0) return 0;
  return scale * Math.min(high - zeroPoint, Math.max(low - zeroPoint, roundHalfEven(value / scale)));
}

export const nearestCodes = ({ matrices, sliceAt }: SlicedWeight, grid: ScaledGrid): readonly Matrix[] =>
  matrices.map(({ rows, columns, data }, group) =>
    matrix(
      rows,
      columns,
      data.map((value, at) => nearestCode(grid, sliceAt(group, Math.floor(at / columns), at % columns), value)),
    ),
  );

/** So many steps of numbers that lie on a grid are looked for: as many as 8 bits have. */
export const mostSteps = 255;

/**
 * Scale and zero point with which a grid reaches from `min` to `max`, or as far on the other side.
 * @param steps the numbers are whole multiples of their largest magnitude over this; 0 where they are not. Where the grid has as many codes
 * they keep their values.
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

/**
 * Of numbers j · s with whole j: s, or a half, a quarter … of it while codes last; undefined where more codes are asked for than there are, or
 * the usual scale has a code for each, too.
 */
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
