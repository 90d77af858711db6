/** Reads batches of a value as matrices: a row per position of each sample, a column per channel. */
import { axisLayout, type Dense, elementCount, toFloat64 } from "#ir";
import { type Matrix, matrix } from "../../core/math/matrix.ts";
import type { PickedElements } from "../../runtime/run/picked-elements.ts";

/**
 * A batch of a value as matrices: a row per position of each sample, a column per channel. Layer inputs have, per group, a column
 * for each input of an output, column = input · taps + tap.
 */
export interface Features {
  readonly groups: number;
  readonly rows: number;
  /** Columns per group. */
  readonly columns: number;
  /** Columns per input channel: kernel positions of a convolution, else 1. */
  readonly taps: number;
  /** Returns a float64 matrix [rows, columns] of one group, or of all groups side by side. A batch with the same array `rows` can replace its values. */
  matrix(group?: number, rows?: ArrayLike<number>, columns?: readonly number[]): Matrix;
  /** Returns values in storage order: row outer · inner + i, column c of all groups is at (outer · columns · groups + c) · inner + i. */
  values(): Float32Array | Float64Array;
  readonly inner: number;
}

/** How a tensor is read as features: `axis`, or `axes` axes that start there, contain the columns of all groups. Default: a single column. */
export interface Layout {
  readonly axis?: number | undefined;
  readonly axes?: number | undefined;
  /** Rank of the value in its model: batches of a model for one sample have an additional first axis. */
  readonly rank?: number | undefined;
  readonly groups?: number;
  readonly taps?: number;
}

/** @param picks The value to read consists of elements of `dense`. */
export function readFeatures(
  dense: Dense,
  { axis, axes, rank, groups = 1, taps = 1 }: Layout,
  picks?: PickedElements,
): Features {
  const repeats = picks === undefined ? 1 : (dense.dims[0] ?? 1) / (picks.dims[0] ?? 1);
  const dims = picks?.dims.map((dim, index) => (index === 0 ? dim * repeats : dim)) ?? dense.dims;
  const singleColumn = { outer: elementCount(dims), count: 1, inner: 1 };
  const addedAxes = axis !== undefined && axis >= 0 && rank !== undefined && dims.length === rank + 1 ? 1 : 0;
  const { outer, count, inner } = axis === undefined ? singleColumn : axisLayout(dims, addedAxes + axis, axes);
  const [rowCount, width] = [outer * inner, count / groups];
  // Avoids conversion of float32, because often few values are read.
  const readNumbers = (): Float32Array | Float64Array => (dense.type === "float32" ? dense.data : toFloat64(dense));
  const select = (rows: ArrayLike<number>, group: number | undefined, find: () => Int32Array): Float64Array => {
    const size = elementCount(dense.dims) / repeats;
    const { indices, data } = picks?.select(rows, group, size, find) ?? { indices: find(), data: undefined };
    const [numbers, result] = [readNumbers(), data ?? new Float64Array(indices.length)];
    for (let position = 0; position < indices.length; position++) {
      const index = indices[position] ?? 0;
      result[position] = index < 0 ? 0 : (numbers[index] ?? 0);
    }
    return result;
  };
  return {
    groups,
    rows: rowCount,
    columns: width,
    taps,
    inner,
    values: () =>
      picks === undefined
        ? readNumbers()
        : select([], undefined, () => Int32Array.from({ length: elementCount(dims) }, (_, position) => position)),
    matrix(group, rows, columns) {
      const first = (group ?? 0) * width;
      const columnIndices =
        columns ?? Array.from({ length: group === undefined ? count : width }, (_, index) => first + index);
      const starts = Uint32Array.from(columnIndices, (column) => column * inner);
      const height = rows?.length ?? rowCount;
      const find = (): Int32Array => {
        const positions = new Int32Array(height * starts.length);
        for (let row = 0, index = 0; row < height; row++) {
          const position = rows?.[row] ?? row;
          const start = Math.floor(position / inner) * count * inner + (position % inner);
          for (let column = 0; column < starts.length; column++) positions[index++] = start + (starts[column] ?? 0);
        }
        return positions;
      };
      return matrix(height, starts.length, select(columns === undefined ? (rows ?? []) : [], group, find));
    },
  };
}
