import type { Layer } from "../../core/analysis/layers.ts";
import { weightMatrices, weightNumbers } from "../../core/analysis/weight.ts";
import { channelRanges, type Matrix, sliceSteps } from "../../core/math/index.ts";
import type { WeightRole } from "../../core/ops/index.ts";
import { toFloat32 } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import type { Dense } from "../../core/tensor/types.ts";
import type { SlicedWeight } from "../calibrate/solver.ts";
import { mostSteps } from "./grid.ts";

/**
 * Divides matrices into slices that share a scale.
 * @param outputs number of outputs with separate scales; 1 for a single scale. With more rows per matrix, consecutive rows belong
 * to one output; with fewer, outputs are counted through all matrices.
 * @param block number of row elements that share a scale (all).
 * @example
 * import { nearest, slicedWeight } from "pith/quantize";
 * const weight = slicedWeight([matrixOf([[1, 2, 3, 4], [5, 6, 7, 8]])], 2);
 * nearest.scales(weight, { type: "int8", symmetric: true, low: -127, high: 127 });
 */
export function slicedWeight(matrices: readonly Matrix[], outputs: number, block?: number): SlicedWeight {
  const [{ rows, columns } = { rows: 0, columns: 0 }] = matrices;
  const width = block ?? columns;
  const blocks = Math.ceil(columns / width);
  const each = Math.max(1, rows / outputs);
  return {
    matrices,
    slices: outputs * blocks,
    like: (others) => slicedWeight(others, outputs, block),
    sliceAt: (group, row, column) =>
      (Math.floor((group * rows + row) / each) % outputs) * blocks + Math.floor(column / width),
    numbers(slice) {
      const from = (slice % blocks) * width;
      const parts: Float64Array[] = [];
      for (let first = Math.floor(slice / blocks) * each; first < matrices.length * rows; first += outputs * each)
        for (let row = first; row < first + each; row++) {
          const start = (row % rows) * columns;
          const own = matrices[Math.floor(row / rows)]?.data;
          if (own !== undefined) parts.push(own.subarray(start + from, start + Math.min(columns, from + width)));
        }
      const [only] = parts;
      if (only?.length === width && parts.length === 1) return only;
      const all = new Float64Array(parts.length * width);
      for (const [at, part] of parts.entries()) all.set(part, at * width);
      return all;
    },
  };
}

export const inSlices = (layer: Layer, dense: Dense, outputs: number, block?: number): SlicedWeight =>
  slicedWeight(weightMatrices(byRows(layer, block), dense.dims, toFloat32(dense)), outputs, block);

/** Inverts `inSlices` without blocks: returns the values in the tensor's storage order. */
export const asTensor = (layer: Layer, dims: readonly number[], matrices: readonly Matrix[]): Float64Array =>
  weightNumbers(byRows(layer), dims, matrices);

function byRows({ role }: Layer, block?: number): WeightRole {
  // Each row of an embedding table is read separately.
  if (role.kind === "lookup") return { ...role, out: role.in, in: role.out };
  return block === undefined || role.out !== 0 ? role : { ...role, in: 1, outTaps: [] };
}

/** Returns whether the stored rows have one column per input of an output, in the order of the layer inputs. */
export const inputsInRows = ({ role }: Layer): boolean =>
  role.out !== 0 || (role.in === 1 && role.outTaps === undefined);

export function rangeOf(numbers: Float64Array): { readonly min: number; readonly max: number; readonly steps: number } {
  const dense = float32([numbers.length], numbers);
  const range = channelRanges(dense, undefined);
  const [[min = 0], [max = 0]] = [range.min, range.max];
  return { min, max, steps: sliceSteps(dense, undefined, range, mostSteps)[0] ?? 0 };
}
