/**
 * The singular value decomposition of a bidiagonal matrix by divide and conquer (Gu and Eisenstat 1995). Without its middle row the matrix falls
 * into two. With B₁ = U₁ Σ₁ V₁ᵀ and B₂ = U₂ Σ₂ V₂ᵀ, it is an arrow between known bases:
 *
 *     B = diag(U₁, 1, U₂) · arrow · diag(V₁, V₂)ᵀ
 *
 * Nearly all of the work is products of the bases with the arrow's own vectors.
 */
import { arrowSvd } from "./arrow.ts";
import type { Bidiagonal } from "./bidiagonal.ts";
import { bidiagonalByJacobi } from "./jacobi.ts";
import { type Matrix, matrix, sliceColumns } from "./matrix.ts";
import { product, type Steps } from "./steps.ts";

/** The decomposition of `count` rows and as many columns or one more; with one more, the last right vector has singular value 0. */
export interface Part {
  /** Unsorted. */
  readonly values: Float64Array;
  /** Singular vectors in rows; undefined if only values are asked for. */
  readonly left: Matrix | undefined;
  /** The same; only the first and last entry of each if only values are asked for. */
  readonly right: Matrix;
}

/** Up to this size rotations take less time than products. */
const leaf = 16;

/** Smaller entries are set to 0: beside entries near 1 they are below rounding, and squared quotients of larger ones stay in range. */
const negligible = 2 ** -200;

/** Entries near 1 are assumed. */
export function bidiagonalSvd({ diagonal, above }: Bidiagonal, vectors: boolean): Steps<Part> {
  const flushed = (values: Float64Array): Float64Array =>
    values.map((value) => (Math.abs(value) < negligible ? 0 : value));
  return divide(flushed(diagonal), flushed(above), vectors, 0, diagonal.length, 0);
}

function* divide(
  diagonal: Float64Array,
  above: Float64Array,
  vectors: boolean,
  from: number,
  count: number,
  extraColumns: number,
): Steps<Part> {
  if (count <= leaf) {
    const { values, left, right } = bidiagonalByJacobi(diagonal, above, from, count, extraColumns);
    return vectors ? { values, left, right } : { values, left: undefined, right: ends(right) };
  }
  const first = count >> 1;
  const middle = from + first;
  const upper = yield* divide(diagonal, above, vectors, from, first, 1);
  const lower = yield* divide(diagonal, above, vectors, middle + 1, count - first - 1, extraColumns);
  return yield* merge(upper, lower, diagonal[middle] ?? 0, above[middle] ?? 0, extraColumns);
}

/** Joins two parts by the middle row: it has `own` in the last column of the upper part, and `next` in the first of the lower one. */
function* merge(upper: Part, lower: Part, own: number, next: number, extraColumns: number): Steps<Part> {
  const [above, below] = [upper.values.length, lower.values.length];
  const count = above + 1 + below;
  const [d, z] = [new Float64Array(count), new Float64Array(count)];
  d.set(upper.values, 1);
  d.set(lower.values, 1 + above);
  const lastOf = (row: number): number => own * (upper.right.data[(row + 1) * upper.right.columns - 1] ?? 0);
  const firstOf = (row: number): number => next * (lower.right.data[row * lower.right.columns] ?? 0);
  for (let row = 0; row < above; row++) z[1 + row] = lastOf(row);
  for (let row = 0; row < below; row++) z[1 + above + row] = firstOf(row);
  // A rotation turns the right vectors of singular value 0 into the arrow's first one and, with an extra column, one that stays.
  const [a, b] = [lastOf(above), extraColumns === 0 ? 0 : firstOf(below)];
  const length = Math.hypot(a, b);
  z[0] = length;
  const [cosine, sine] = length === 0 ? [1, 0] : [a / length, b / length];
  const vectors = upper.left !== undefined;
  const arrow = arrowSvd(d, z, Math.max(Math.abs(own), Math.abs(next)), vectors);

  const [rightUpper, rightLower] = vectors
    ? [upper.right, lower.right]
    : [sliceColumns(upper.right, 0, 1), sliceColumns(lower.right, 1, 2)];
  const [fromUpper, fromLower] = [
    coordinates(arrow.right, 1, above, cosine),
    coordinates(arrow.right, 1 + above, below, extraColumns === 0 ? undefined : sine),
  ];
  const right = beside(yield* product(fromUpper, rightUpper), yield* product(fromLower, rightLower), extraColumns, 0);
  if (extraColumns === 1) {
    const start = count * right.columns;
    const split = rightUpper.columns;
    for (let at = 0; at < split; at++) right.data[start + at] = -sine * (rightUpper.data[above * split + at] ?? 0);
    for (let at = 0; at < rightLower.columns; at++)
      right.data[start + split + at] = cosine * (rightLower.data[below * rightLower.columns + at] ?? 0);
  }
  if (arrow.left === undefined || upper.left === undefined || lower.left === undefined)
    return { values: arrow.values, left: undefined, right };
  const leftUpper = yield* product(coordinates(arrow.left, 1, above), upper.left);
  const leftLower = yield* product(coordinates(arrow.left, 1 + above, below), lower.left);
  const left = beside(leftUpper, leftLower, 0, 1);
  for (let row = 0; row < count; row++) left.data[row * count + above] = arrow.left.data[row * count] ?? 0;
  return { values: arrow.values, left, right };
}

/** The columns of one part; with a factor, also the first column multiplied by it. */
function coordinates(source: Matrix, from: number, count: number, factor?: number): Matrix {
  if (factor === undefined) return sliceColumns(source, from, from + count);
  const result = matrix(source.rows, count + 1);
  for (let row = 0; row < source.rows; row++) {
    const start = row * source.columns;
    result.data.set(source.data.subarray(start + from, start + from + count), row * (count + 1));
    result.data[row * (count + 1) + count] = factor * (source.data[start] ?? 0);
  }
  return result;
}

/** Two matrices side by side, with rows and columns of zeros below and between them. */
function beside(a: Matrix, b: Matrix, below: number, between: number): Matrix {
  const columns = a.columns + between + b.columns;
  const result = matrix(a.rows + below, columns);
  for (let row = 0; row < a.rows; row++) {
    result.data.set(a.data.subarray(row * a.columns, (row + 1) * a.columns), row * columns);
    result.data.set(b.data.subarray(row * b.columns, (row + 1) * b.columns), row * columns + a.columns + between);
  }
  return result;
}

function ends(source: Matrix): Matrix {
  return beside(sliceColumns(source, 0, 1), sliceColumns(source, source.columns - 1, source.columns), 0, 0);
}
