/** Cholesky factorization A = L · Lᵀ of symmetric positive definite matrices, and systems solved with it. */
import { Miss, PithError } from "../errors.ts";
import { type Matrix, matrix } from "./matrix.ts";
import { axpy, dot } from "./vector.ts";

/**
 * The lower factor L of a symmetric positive definite matrix; only its lower triangle is read. A `Miss` if it is not positive definite:
 * the caller may damp the diagonal and try again.
 * @throws PithError E_SHAPE_MISMATCH if the matrix is not square.
 */
export function cholesky(source: Matrix): Matrix | Miss {
  const size = square(source);
  const lower = matrix(size, size);
  const { data } = lower;
  for (let row = 0; row < size; row++) {
    const start = row * size;
    for (let column = 0; column < row; column++) {
      const rest = (source.data[start + column] ?? 0) - dot(data, start, data, column * size, column);
      data[start + column] = rest / (data[column * (size + 1)] ?? 0);
    }
    const pivot = (source.data[start + row] ?? 0) - dot(data, start, data, start, row);
    // Written so that NaN fails too.
    if (!(pivot > 0 && pivot < Number.POSITIVE_INFINITY)) {
      return new Miss(`the matrix is not positive definite: pivot ${row} of ${size} is ${pivot}`);
    }
    data[start + row] = Math.sqrt(pivot);
  }
  return lower;
}

/** X with L · X = B, for a lower triangular L. */
export function solveLower(lower: Matrix, right: Matrix): Matrix {
  const { size, width, data } = system(lower, right);
  for (let row = 0; row < size; row++) {
    for (let k = 0; k < row; k++) axpy(-(lower.data[row * size + k] ?? 0), data, k * width, data, row * width, width);
    divideRow(data, row, width, lower.data[row * (size + 1)] ?? 0);
  }
  return matrix(size, width, data);
}

/** X with Lᵀ · X = B, for a lower triangular L. */
export function solveLowerTransposed(lower: Matrix, right: Matrix): Matrix {
  const { size, width, data } = system(lower, right);
  for (let row = size - 1; row >= 0; row--) {
    divideRow(data, row, width, lower.data[row * (size + 1)] ?? 0);
    for (let k = 0; k < row; k++) axpy(-(lower.data[row * size + k] ?? 0), data, row * width, data, k * width, width);
  }
  return matrix(size, width, data);
}

/** X with L · Lᵀ · X = B: the solution of A · X = B given A's Cholesky factor. */
export function solveCholesky(lower: Matrix, right: Matrix): Matrix {
  return solveLowerTransposed(lower, solveLower(lower, right));
}

/** The inverse of a lower triangular matrix, lower triangular itself. */
export function invertLower(lower: Matrix): Matrix {
  const size = square(lower);
  const inverse = matrix(size, size);
  const { data } = inverse;
  for (let row = 0; row < size; row++) {
    data[row * (size + 1)] = 1;
    // Row k of the inverse ends at column k.
    for (let k = 0; k < row; k++) axpy(-(lower.data[row * size + k] ?? 0), data, k * size, data, row * size, k + 1);
    divideRow(data, row, size, lower.data[row * (size + 1)] ?? 0);
  }
  return inverse;
}

function square(source: Matrix): number {
  if (source.rows !== source.columns) {
    throw new PithError("E_SHAPE_MISMATCH", `A square matrix is needed, got ${source.rows} × ${source.columns}.`);
  }
  return source.rows;
}

function system(
  lower: Matrix,
  right: Matrix,
): { readonly size: number; readonly width: number; readonly data: Float64Array } {
  const size = square(lower);
  if (right.rows !== size) {
    throw new PithError(
      "E_SHAPE_MISMATCH",
      `A system of ${size} equations needs ${size} right-hand rows, got ${right.rows}.`,
    );
  }
  return { size, width: right.columns, data: right.data.slice() };
}

function divideRow(data: Float64Array, row: number, width: number, divisor: number): void {
  for (let at = row * width; at < (row + 1) * width; at++) data[at] = (data[at] ?? 0) / divisor;
}
