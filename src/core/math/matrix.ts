/** Dense real matrices: flat, row-major, float64. For large products, callers pass the `Multiply` of ONNX Runtime. */
import { shapeError } from "../errors.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { elementCount } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** Element (i, j) is `data[i * columns + j]`. */
  readonly data: Float64Array;
}

/** Computes the product of an (m × k) and a (k × n) matrix. */
export type Multiply = (a: Matrix, b: Matrix) => Promise<Matrix>;

/** @throws PithError E_SHAPE_MISMATCH if the number of elements is not rows · columns. */
export function matrix(rows: number, columns: number, data: Float64Array = new Float64Array(rows * columns)): Matrix {
  if (data.length !== rows * columns)
    throw shapeError(`A ${rows} × ${columns} matrix takes ${rows * columns} numbers, got ${data.length}.`);
  return { rows, columns, data };
}

export function identity(size: number): Matrix {
  const result = matrix(size, size);
  for (let index = 0; index < size; index++) result.data[index * (size + 1)] = 1;
  return result;
}

/**
 * Converts a tensor to a matrix. The first axis becomes the rows; all other axes together become the columns.
 * @throws PithError E_SHAPE_MISMATCH if the tensor has no axes; E_TYPE_MISMATCH if its elements are not real numbers.
 */
export function fromDense(dense: Dense): Matrix {
  const [rows, ...columns] = dense.dims;
  if (rows === undefined) throw shapeError(`A matrix has an axis or more, got ${dense.type}[].`);
  return matrix(rows, elementCount(columns), toFloat64(dense));
}

export function transpose(source: Matrix): Matrix {
  const { rows, columns, data } = source;
  const result = matrix(columns, rows);
  // Squares of this size fit into the L1 cache.
  const size = 32;
  for (let top = 0; top < rows; top += size) {
    const bottom = Math.min(rows, top + size);
    for (let firstColumn = 0; firstColumn < columns; firstColumn += size) {
      const lastColumn = Math.min(columns, firstColumn + size);
      for (let column = firstColumn; column < lastColumn; column++) {
        for (let row = top; row < bottom; row++) result.data[column * rows + row] = data[row * columns + column] ?? 0;
      }
    }
  }
  return result;
}

/** Computes a · b in JavaScript, which is slow for large products. @throws PithError E_SHAPE_MISMATCH if the inner dimensions differ. */
export function multiply(a: Matrix, b: Matrix): Matrix {
  if (a.columns !== b.rows)
    throw shapeError(`${a.rows} × ${a.columns} times ${b.rows} × ${b.columns}: inner dimensions differ.`);
  const inner = a.columns;
  const width = b.columns;
  const result = matrix(a.rows, width);
  const aData = a.data;
  const bData = b.data;
  const out = result.data;
  // Each result row is a sum of rows of b, added four at a time. A panel of b stays in the cache for all rows of a.
  const panel = Math.max(4, Math.min(inner, 4 * Math.ceil(32768 / Math.max(1, 4 * width))));
  for (let from = 0; from < inner; from += panel) {
    const to = Math.min(inner, from + panel);
    for (let row = 0; row < a.rows; row++) {
      const target = row * width;
      let k = from;
      for (; k + 4 <= to; k += 4) {
        const at = row * inner + k;
        const p = aData[at] ?? 0;
        const q = aData[at + 1] ?? 0;
        const r = aData[at + 2] ?? 0;
        const s = aData[at + 3] ?? 0;
        let b0 = k * width;
        for (let j = target; j < target + width; j++, b0++) {
          out[j] =
            (out[j] ?? 0) +
            p * (bData[b0] ?? 0) +
            q * (bData[b0 + width] ?? 0) +
            r * (bData[b0 + 2 * width] ?? 0) +
            s * (bData[b0 + 3 * width] ?? 0);
        }
      }
      for (; k < to; k++) {
        const factor = aData[row * inner + k] ?? 0;
        for (let j = 0; j < width; j++) out[target + j] = (out[target + j] ?? 0) + factor * (bData[k * width + j] ?? 0);
      }
    }
  }
  return result;
}

export const multiplyInJs: Multiply = (a, b) => Promise.resolve(multiply(a, b));

/** Rows [from, to) as a view. */
export function sliceRows({ columns, data }: Matrix, from: number, to: number): Matrix {
  return matrix(to - from, columns, data.subarray(from * columns, to * columns));
}

/** A copy of columns [from, to). */
export function sliceColumns(source: Matrix, from: number, to: number): Matrix {
  const result = matrix(source.rows, to - from);
  for (let row = 0; row < source.rows; row++) {
    result.data.set(source.data.subarray(row * source.columns + from, row * source.columns + to), row * result.columns);
  }
  return result;
}

/** A · diag(factors). */
export function scaleColumns(source: Matrix, factors: ArrayLike<number>): Matrix {
  const { rows, columns, data } = source;
  const result = matrix(rows, columns);
  for (let index = 0; index < data.length; )
    for (let column = 0; column < columns; column++, index++)
      result.data[index] = (data[index] ?? 0) * (factors[column] ?? 0);
  return result;
}

/** diag(factors) · A. */
export function scaleRows(source: Matrix, factors: ArrayLike<number>): Matrix {
  const { rows, columns, data } = source;
  return matrix(
    rows,
    columns,
    data.map((value, index) => value * (factors[Math.floor(index / columns)] ?? 0)),
  );
}

export function subtract(a: Matrix, b: Matrix): Matrix {
  if (a.rows !== b.rows || a.columns !== b.columns)
    throw shapeError(`${a.rows} × ${a.columns} minus ${b.rows} × ${b.columns}: dimensions differ.`);
  const result = matrix(a.rows, a.columns);
  for (let index = 0; index < a.data.length; index++) result.data[index] = (a.data[index] ?? 0) - (b.data[index] ?? 0);
  return result;
}

/** Scaled so that squares neither overflow nor underflow. */
export function frobenius(source: Matrix): number {
  const largest = largestMagnitude(source);
  if (largest === 0 || !Number.isFinite(largest)) return largest;
  const { data } = source;
  const scale = Math.abs(Math.log2(largest)) < 400 ? 1 : largest;
  let sum = 0;
  for (let at = 0; at < data.length; at++) {
    const value = (data[at] ?? 0) / scale;
    sum += value * value;
  }
  return scale * Math.sqrt(sum);
}

/** NaN if an element is NaN, 0 for an empty matrix. */
export function largestMagnitude(source: Matrix): number {
  const { data } = source;
  let largest = 0;
  for (let at = 0; at < data.length; at++) {
    const magnitude = Math.abs(data[at] ?? 0);
    if (!(magnitude <= largest)) {
      if (Number.isNaN(magnitude)) return magnitude;
      largest = magnitude;
    }
  }
  return largest;
}
