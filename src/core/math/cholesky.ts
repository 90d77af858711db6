/** Cholesky factorization A = L · Lᵀ and solvers, blocked (Golub and Van Loan, Matrix Computations, 4.2.9). */
import { Miss, shapeError } from "../errors.ts";
import { type Matrix, type Multiply, matrix, sliceColumns, sliceRows, transpose } from "./matrix.ts";
import { product, runSteps, type Steps } from "./steps.ts";
import { axpy, dot } from "./vector.ts";

/** Triangular blocks up to this size are solved element by element. */
const blockSize = 64;

/** Columns that are computed together. */
const panel = 128;

/**
 * Returns the lower factor L of a symmetric positive definite matrix; a `Miss` for other matrices. Reads the lower triangle.
 * @throws PithError E_SHAPE_MISMATCH if the matrix is not square.
 * @example
 * const factor = cholesky(matrix(2, 2, Float64Array.of(4, 2, 2, 5))); // [[2, 0], [1, 2]]
 */
export function cholesky(source: Matrix): Matrix | Miss;
export function cholesky(source: Matrix, multiply: Multiply): Promise<Matrix | Miss>;
export function cholesky(source: Matrix, multiply?: Multiply): Matrix | Miss | Promise<Matrix | Miss> {
  return runSteps(factorize(source), multiply);
}

/** Per panel of columns: subtracts products of previous panels, factorizes the top square C, and solves X · Cᵀ = R for the rows R below. */
export function* factorize(source: Matrix): Steps<Matrix | Miss> {
  const size = squareSize(source);
  const lower = matrix(size, size);
  for (let from = 0; from < size; from += panel) {
    const to = Math.min(size, from + panel);
    const width = to - from;
    const columns = sliceColumns(sliceRows(source, from, size), from, to);
    if (from > 0) {
      const solvedColumns = sliceColumns(sliceRows(lower, from, size), 0, from);
      const change = yield* product(solvedColumns, transpose(sliceRows(solvedColumns, 0, width)));
      axpy(-1, change.data, 0, columns.data, 0, change.data.length);
    }
    const corner = sliceRows(columns, 0, width);
    const failure = factorizeSmall(corner, from, size);
    if (failure !== undefined) return failure;
    for (let row = 0; row < width; row++) corner.data.fill(0, row * width + row + 1, (row + 1) * width);
    if (to < size) {
      const below = yield* product(sliceRows(columns, width, columns.rows), transpose(yield* invert(corner)));
      columns.data.set(below.data, corner.data.length);
    }
    for (let row = 0; row < columns.rows; row++)
      lower.data.set(columns.data.subarray(row * width, (row + 1) * width), (from + row) * size + from);
  }
  return lower;
}

function factorizeSmall({ columns: size, data }: Matrix, from: number, order: number): Miss | undefined {
  for (let row = 0; row < size; row++) {
    const start = row * size;
    for (let column = 0; column < row; column++) {
      const difference = (data[start + column] ?? 0) - dot(data, start, data, column * size, column);
      data[start + column] = difference / (data[column * (size + 1)] ?? 0);
    }
    const pivot = (data[start + row] ?? 0) - dot(data, start, data, start, row);
    // Negated so that NaN also fails.
    if (!(pivot > 0 && pivot < Number.POSITIVE_INFINITY))
      return new Miss(`the matrix is not positive definite: pivot ${from + row} of ${order} is ${pivot}`);
    data[start + row] = Math.sqrt(pivot);
  }
  return undefined;
}

/** Solves A · X = B, given the Cholesky factor L of A. */
export function solveCholesky(lower: Matrix, right: Matrix): Matrix;
export function solveCholesky(lower: Matrix, right: Matrix, multiply: Multiply): Promise<Matrix>;
export function solveCholesky(lower: Matrix, right: Matrix, multiply?: Multiply): Matrix | Promise<Matrix> {
  return runSteps(solve(lower, right), multiply);
}

function* solve(lower: Matrix, right: Matrix): Steps<Matrix> {
  const size = squareSize(lower);
  if (right.rows !== size)
    throw shapeError(`A system of ${size} equations needs ${size} right-hand rows, got ${right.rows}.`);
  return yield* solveBackward(lower, yield* solveForward(lower, matrix(size, right.columns, right.data.slice())));
}

/** Solves L · X = B for a lower triangular L, in place. */
function* solveForward(lower: Matrix, solution: Matrix): Steps<Matrix> {
  const { rows: size, columns: width, data } = solution;
  for (let from = 0; from < size; from += blockSize) {
    const to = Math.min(size, from + blockSize);
    if (from > 0) {
      const solvedColumns = sliceColumns(sliceRows(lower, from, to), 0, from);
      const change = yield* product(solvedColumns, sliceRows(solution, 0, from));
      axpy(-1, change.data, 0, data, from * width, change.data.length);
    }
    for (let row = from; row < to; row++) {
      for (let k = from; k < row; k++)
        axpy(-(lower.data[row * size + k] ?? 0), data, k * width, data, row * width, width);
      divideRow(data, row, width, lower.data[row * (size + 1)] ?? 0);
    }
  }
  return solution;
}

/** Solves Lᵀ · X = B for a lower triangular L, in place. */
function* solveBackward(lower: Matrix, solution: Matrix): Steps<Matrix> {
  const { rows: size, columns: width, data } = solution;
  for (let from = Math.floor(Math.max(0, size - 1) / blockSize) * blockSize; from >= 0; from -= blockSize) {
    const to = Math.min(size, from + blockSize);
    if (to < size) {
      const solvedColumns = transpose(sliceColumns(sliceRows(lower, to, size), from, to));
      const change = yield* product(solvedColumns, sliceRows(solution, to, size));
      axpy(-1, change.data, 0, data, from * width, change.data.length);
    }
    for (let row = to - 1; row >= from; row--) {
      divideRow(data, row, width, lower.data[row * (size + 1)] ?? 0);
      for (let k = from; k < row; k++)
        axpy(-(lower.data[row * size + k] ?? 0), data, row * width, data, k * width, width);
    }
  }
  return solution;
}

/** Inverts a lower triangular matrix by halves: [A 0; B C]⁻¹ = [A⁻¹ 0; −C⁻¹ B A⁻¹ C⁻¹]. */
export function* invert(lower: Matrix): Steps<Matrix> {
  const size = lower.rows;
  if (size <= blockSize) return invertSmall(lower);
  const half = size >> 1;
  const lowerRows = sliceRows(lower, half, size);
  const first = yield* invert(sliceColumns(sliceRows(lower, 0, half), 0, half));
  const second = yield* invert(sliceColumns(lowerRows, half, size));
  const coupling = yield* product(second, yield* product(sliceColumns(lowerRows, 0, half), first));
  const inverse = matrix(size, size);
  for (let row = 0; row < half; row++) inverse.data.set(first.data.subarray(row * half, (row + 1) * half), row * size);
  for (let row = half; row < size; row++) {
    axpy(-1, coupling.data, (row - half) * half, inverse.data, row * size, half);
    const start = (row - half) * second.columns;
    inverse.data.set(second.data.subarray(start, start + second.columns), row * size + half);
  }
  return inverse;
}

function invertSmall(lower: Matrix): Matrix {
  const size = lower.rows;
  const inverse = matrix(size, size);
  const { data } = inverse;
  for (let row = 0; row < size; row++) {
    data[row * (size + 1)] = 1;
    for (let k = 0; k < row; k++) axpy(-(lower.data[row * size + k] ?? 0), data, k * size, data, row * size, k + 1);
    divideRow(data, row, size, lower.data[row * (size + 1)] ?? 0);
  }
  return inverse;
}

function squareSize(source: Matrix): number {
  if (source.rows !== source.columns)
    throw shapeError(`A square matrix is needed, got ${source.rows} × ${source.columns}.`);
  return source.rows;
}

function divideRow(data: Float64Array, row: number, width: number, divisor: number): void {
  for (let at = row * width; at < (row + 1) * width; at++) data[at] = (data[at] ?? 0) / divisor;
}
