/**
 * The grid of a weight: (code - zero point) · scale with low ≤ code ≤ high, one scale per slice (`slicedWeight`). ONNX Runtime's integer
 * kernels accept one zero point, so grids with several scales are symmetric, except blocks.
 */
import type { Layer } from "#analysis";
import { float32, roundHalfEven } from "#ir";
import { type Matrix, matrix } from "../../core/math/matrix.ts";
import type { Grid, ScaledGrid, SlicedWeight } from "../calibrate/solver.ts";
import {
  fullRange,
  type QuantizationRange,
  quantizationRange,
  type ScaleAndZeroPoint,
  scaleAndZeroPoint,
  smallestScale,
} from "../shared/affine-codes.ts";
import { type BlockBits, blockScale } from "../shared/blocks.ts";
import { subdivisionOf } from "../shared/common-step.ts";
import { channelRanges, sliceSteps } from "./quantize-tensor.ts";

/** Axis along which each index has a separate scale; undefined for a single scale. */
export interface PerAxis {
  readonly axis: number | undefined;
}

export interface BlockSettings {
  readonly bits: BlockBits;
  readonly block: number;
  readonly symmetric: boolean;
  /** Stores scales in float16, which the runtime casts once, at load. */
  readonly halfScales?: boolean | undefined;
}

export type WeightType = "int8" | "uint8" | "int4";

/** Symmetric 8 bits exclude the lowest value, as in ONNX Runtime. @param zeroPoints whether a signed type with a single scale has one. */
export function gridOf(
  type: WeightType,
  axis: number | undefined,
  bits = type === "int4" ? 4 : 8,
  zeroPoints = false,
): Grid & PerAxis {
  const reducedRange = bits === 7 ? quantizationRange({ type, reduceRange: true }) : undefined;
  if (axis === undefined && (type === "uint8" || zeroPoints))
    return { type, axis, symmetric: false, ...(reducedRange ?? fullRange(type)) };
  if (reducedRange !== undefined) return symmetricGrid(type, axis, reducedRange);
  const high = 2 ** (bits - 1) - 1;
  return symmetricGrid(type, axis, { low: bits === 8 ? -high : -high - 1, high });
}

export function blockGrid({ bits, block, symmetric }: BlockSettings): Grid {
  const type = bits === 8 ? "uint8" : bits === 4 ? "uint4" : "uint2";
  return { type, block, symmetric, low: 0, high: 2 ** bits - 1 };
}

export const bitsOfBlocks = ({ high }: Grid): BlockBits => (high === 255 ? 8 : high === 15 ? 4 : 2);

/** Returns the grid of the integers `low` to `high` around 0, stored as int8 or int4, or as uint8 around 128. */
export function symmetricGrid(
  type: WeightType,
  axis: number | undefined,
  { low, high }: QuantizationRange,
): Grid & PerAxis {
  const zero = symmetricZeroPoints[type];
  return { type, axis, symmetric: true, low: low + zero, high: high + zero };
}

const symmetricZeroPoints = { int8: 0, int4: 0, uint8: 128, uint4: 8, uint2: 2 } as const;

/**
 * Returns the quantized value nearest to a number, halves to even; the zero point if the scale is 0.
 * @example
 * import type { Solver } from "pith/extend";
 * import { nearestCode } from "pith/quantize";
 * const codes: Solver["codes"] = ({ matrices, sliceAt }, grid) =>
 *   matrices.map(({ rows, columns, data }, group) => ({
 *     ...{ rows, columns },
 *     data: data.map((value, at) =>
 *       nearestCode(grid, sliceAt(group, Math.floor(at / columns), at % columns), value)),
 *   }));
 */
export function nearestCode({ scale, zeroPoint, low, high }: ScaledGrid, slice: number, value: number): number {
  const [step = 0, zero = 0] = [scale[slice], zeroPoint[slice]];
  return step === 0 ? zero : Math.min(high, Math.max(low, roundHalfEven(value / step) + zero));
}

/** Returns the number rounded to the grid; 0 if the scale is 0. */
export function roundToGrid(
  { low, high }: QuantizationRange,
  { scale, zeroPoint }: ScaleAndZeroPoint,
  value: number,
): number {
  if (scale === 0) return 0;
  return scale * Math.min(high - zeroPoint, Math.max(low - zeroPoint, roundHalfEven(value / scale)));
}

/** Maps the values of a weight. @param transform receives a value, the index of its scale, its row and group, and its index in the group's matrix. */
export const mapWeight = (
  { matrices, sliceAt }: SlicedWeight,
  transform: (value: number, sliceIndex: number, row: number, group: number, index: number) => number,
): readonly Matrix[] =>
  matrices.map(({ rows, columns, data }, group) =>
    matrix(
      rows,
      columns,
      data.map((value, index) => {
        const row = Math.floor(index / columns);
        return transform(value, sliceAt(group, row, index % columns), row, group, index);
      }),
    ),
  );

export const nearestCodes = (weight: SlicedWeight, grid: ScaledGrid): readonly Matrix[] =>
  mapWeight(weight, (value, slice) => nearestCode(grid, slice, value));

/** Returns the error of each weight: (code − zero point) · scale − weight. */
export const roundingErrors = (
  weight: SlicedWeight,
  { scale, zeroPoint }: ScaledGrid,
  codes: readonly Matrix[],
): readonly Matrix[] =>
  mapWeight(
    weight,
    (value, slice, _, group, index) =>
      ((codes[group]?.data[index] ?? 0) - (zeroPoint[slice] ?? 0)) * (scale[slice] ?? 0) - value,
  );

/** Maximum number of steps to detect in values that are already on a grid: the steps of 8 bits. */
export const maxSteps = 255;

/** @param steps the number n for which all values are integer multiples of max|value| / n; 0 if there is no such number. */
export function computeScale(grid: Grid, min: number, max: number, steps = 0): ScaleAndZeroPoint {
  const { type, symmetric, low, high } = grid;
  const exactScaleOfValues = steps === 0 || grid.block !== undefined ? undefined : exactScale(grid, min, max, steps);
  if (exactScaleOfValues !== undefined) return exactScaleOfValues;
  if (grid.block !== undefined) return blockScale(min, max, { bits: bitsOfBlocks(grid), symmetric });
  if (!symmetric) return scaleAndZeroPoint(min, max, { type, symmetric, reduceRange: high < fullRange(type).high });
  // The scale of a grid of int4 (15 steps) or int8 (254 steps), enlarged if this grid has fewer steps.
  const [referenceType, levels] = high - low === 15 ? (["int4", 15] as const) : (["int8", 254] as const);
  const { scale } = scaleAndZeroPoint(min, max, { type: referenceType });
  return { scale: Math.fround(scale * (levels / (high - low))), zeroPoint: symmetricZeroPoints[type] };
}

export const centerOf = ({ type, symmetric, low, high }: Grid): number =>
  symmetric ? symmetricZeroPoints[type] : Math.ceil((low + high) / 2);

/** Returns a step of the values as the scale, or a fraction of it; undefined if the grid has too few values, or the default scale is exact. */
function exactScale(
  { type, symmetric, low, high }: Grid,
  min: number,
  max: number,
  steps: number,
): ScaleAndZeroPoint | undefined {
  const [bottom, top] = [Math.min(min, 0), Math.max(max, 0)];
  const step = Math.fround(Math.max(-bottom, top) / steps);
  const [below, above] = [Math.round(-bottom / step), Math.round(top / step)];
  const codeCount = symmetric ? high - symmetricZeroPoints[type] : high - low;
  const requiredSteps = symmetric ? steps : below + above;
  if (requiredSteps > codeCount || (symmetric ? (high - low) / 2 : codeCount) % requiredSteps === 0) return undefined;
  const divisor = subdivisionOf(requiredSteps, codeCount);
  const scale = Math.fround(step / divisor);
  if (scale < smallestScale) return undefined;
  return { scale, zeroPoint: symmetric ? symmetricZeroPoints[type] : low + below * divisor };
}

/**
 * Divides matrices into slices that share a scale.
 * @param outputs number of outputs with separate scales; 1 for a single scale. With more rows per matrix, consecutive rows belong
 * to one output; with fewer, outputs are counted through all matrices.
 * @param block number of row elements that share a scale (all).
 * @example
 * import { nearest, slicedWeight } from "pith/quantize";
 * const weight = slicedWeight([{ rows: 2, columns: 4, data: Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8) }], 2);
 * nearest.scales(weight, { type: "int8", symmetric: true, low: -127, high: 127 });
 */
export function slicedWeight(matrices: readonly Matrix[], outputs: number, block?: number): SlicedWeight {
  const [{ rows, columns } = { rows: 0, columns: 0 }] = matrices;
  const width = block ?? columns;
  const blocks = Math.ceil(columns / width);
  const rowsPerOutput = Math.max(1, rows / outputs);
  return {
    matrices,
    slices: outputs * blocks,
    like: (others) => slicedWeight(others, outputs, block),
    sliceAt: (group, row, column) =>
      // The remainder of integers is faster than that of float64 numbers.
      ((Math.floor((group * rows + row) / rowsPerOutput) | 0) % outputs) * blocks + Math.floor(column / width),
    numbers(slice) {
      const from = (slice % blocks) * width;
      const parts: Float64Array[] = [];
      for (
        let first = Math.floor(slice / blocks) * rowsPerOutput;
        first < matrices.length * rows;
        first += outputs * rowsPerOutput
      )
        for (let row = first; row < first + rowsPerOutput; row++) {
          const start = (row % rows) * columns;
          const data = matrices[Math.floor(row / rows)]?.data;
          if (data !== undefined) parts.push(data.subarray(start + from, start + Math.min(columns, from + width)));
        }
      const [only] = parts;
      if (only?.length === width && parts.length === 1) return only;
      const all = new Float64Array(parts.length * width);
      for (const [index, part] of parts.entries()) all.set(part, index * width);
      return all;
    },
  };
}

/** Returns whether each stored row has a column for each input of an output, in the order of the layer's input statistics. */
export const inputsInRows = ({ role }: Layer): boolean =>
  role.out !== 0 || (role.in === 1 && role.outTaps === undefined);

export function rangeOf(numbers: Float64Array): { readonly min: number; readonly max: number; readonly steps: number } {
  const dense = float32([numbers.length], numbers);
  const range = channelRanges(dense, undefined);
  const [[min = 0], [max = 0]] = [range.min, range.max];
  return { min, max, steps: sliceSteps(dense, undefined, range, maxSteps)[0] ?? 0 };
}
