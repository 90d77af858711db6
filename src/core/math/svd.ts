/**
 * Singular value decomposition A = U · diag(s) · Vᵀ by orthogonal transformations, as in LAPACK's `gesvd`:
 *      A = Q R (if there are more rows than columns),   R = Q₂ B P₂ᵀ with B bidiagonal,   B = U₁ Σ V₁ᵀ by QR steps
 * No Gram matrix is computed, so the errors of small singular values are near 2⁻⁵³ · s₁, as the tolerance of NumPy's matrix rank assumes.
 */
import { dataError } from "../errors.ts";
import { type Bidiagonal, bidiagonalize } from "./bidiagonal.ts";
import { bidiagonalSvd } from "./bidiagonal-svd.ts";
import { identity, largestMagnitude, type Matrix, type Multiply, matrix, transpose } from "./matrix.ts";
import { type Block, reflectByAll, triangularize } from "./reflections.ts";
import { runSteps, type Steps } from "./steps.ts";

/** The thin decomposition A = U · diag(s) · Vᵀ of an m × n matrix, k = min(m, n). */
export interface Svd {
  /** m × k, orthonormal columns. */
  readonly u: Matrix;
  /** k singular values, non-negative, in descending order. */
  readonly s: Float64Array;
  /** n × k, orthonormal columns (not transposed). */
  readonly v: Matrix;
}

/**
 * Computes the thin singular value decomposition. With `multiply`, the function returns a promise and is
 * several times faster. Errors are a small multiple of 2⁻⁵³ · s[0].
 * @throws PithError E_DATA if an element is NaN or infinite.
 * @example
 * const { u, s, v } = svd({ rows: 2, columns: 2, data: Float64Array.of(3, 0, 4, 5) }); // s = [6.708…, 2.236…]
 */
export function svd(source: Matrix): Svd;
export function svd(source: Matrix, multiply: Multiply): Promise<Svd>;
export function svd(source: Matrix, multiply?: Multiply): Svd | Promise<Svd> {
  return runSteps(leadingTriplets(source, Math.min(source.rows, source.columns)), multiply);
}

/** In descending order, at a third of the cost of `svd`. @throws PithError E_DATA if an element is NaN or infinite. */
export function singularValues(source: Matrix): Float64Array;
export function singularValues(source: Matrix, multiply: Multiply): Promise<Float64Array>;
export function singularValues(source: Matrix, multiply?: Multiply): Float64Array | Promise<Float64Array> {
  return runSteps(singularValuesOnly(source), multiply);
}

/** Returns all singular values, and the singular vectors of the `rank` largest. */
export function* leadingTriplets(source: Matrix, rank: number): Steps<Svd> {
  const isWide = source.rows < source.columns;
  const { columns, scale } = scaledColumns(source);
  const bidiagonalForm = yield* reduce(columns);
  const [leftVectors, rightVectors] = [identity(columns.rows), identity(columns.rows)];
  const signedValues = bidiagonalSvd(bidiagonalForm, leftVectors, rightVectors);
  const values = signedValues.map(Math.abs);
  const order = Uint32Array.from(values, (_, index) => index).sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0));
  const leading = order.subarray(0, rank);
  const leftRows = rowsOf(leftVectors, leading, columns.columns);
  const rightRows = rowsOf(rightVectors, leading, columns.rows);
  leading.forEach((row, index) => {
    const vector = rightRows.data.subarray(index * rightRows.columns, (index + 1) * rightRows.columns);
    if ((signedValues[row] ?? 0) < 0) vector.set(vector.map((entry) => -entry));
  });
  yield* reflectByAll(leftRows, bidiagonalForm.left);
  yield* reflectByAll(leftRows, bidiagonalForm.qrBlocks);
  yield* reflectByAll(rightRows, bidiagonalForm.right);
  const [u, v] = [transpose(leftRows), transpose(rightRows)];
  const s = Float64Array.from(order, (index) => (values[index] ?? 0) * scale);
  return isWide ? { u: v, s, v: u } : { u, s, v };
}

function* singularValuesOnly(source: Matrix): Steps<Float64Array> {
  const { columns, scale } = scaledColumns(source);
  const noVectors = matrix(columns.rows, 0);
  return bidiagonalSvd(yield* reduce(columns), noVectors, noVectors)
    .map((value) => Math.abs(value) * scale)
    .sort()
    .reverse();
}

/** Returns columns (rows, if there are fewer) as rows with magnitudes near 1, so that squares do not overflow. */
function scaledColumns(source: Matrix): { readonly columns: Matrix; readonly scale: number } {
  const largest = largestMagnitude(source);
  if (!Number.isFinite(largest)) {
    throw dataError(
      `A singular value decomposition needs finite numbers, a ${source.rows} × ${source.columns} matrix holds ${largest}.`,
    );
  }
  // The inverse of 2^-1022 would scale subnormal numbers too little.
  const scale = largest === 0 ? 1 : 2 ** Math.max(-1000, Math.floor(Math.log2(largest)));
  const columns =
    source.rows < source.columns ? matrix(source.rows, source.columns, source.data.slice()) : transpose(source);
  for (let at = 0; at < columns.data.length; at++) columns.data[at] = (columns.data[at] ?? 0) / scale;
  return { columns, scale };
}

function* reduce(columns: Matrix): Steps<Bidiagonal & { readonly qrBlocks: readonly Block[] }> {
  const { rows: count, columns: length } = columns;
  if (count === length) return { ...(yield* bidiagonalize(transpose(columns))), qrBlocks: [] };
  const outer = yield* triangularize(columns);
  const square = matrix(count, count);
  for (let column = 0; column < count; column++) {
    for (let row = 0; row <= column; row++)
      square.data[row * count + column] = columns.data[column * length + row] ?? 0;
  }
  return { ...(yield* bidiagonalize(square)), qrBlocks: outer };
}

function rowsOf(source: Matrix, rowIndices: Uint32Array, width: number): Matrix {
  const result = matrix(rowIndices.length, width);
  rowIndices.forEach((row, index) => {
    result.data.set(source.data.subarray(row * source.columns, (row + 1) * source.columns), index * width);
  });
  return result;
}
