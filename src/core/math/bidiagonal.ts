/** Bidiagonalization A = Q B Pᵀ by blocked Householder reflections (Golub and Van Loan, Matrix Computations, 5.4.8; LAPACK's `dlabrd`). */
import { type Matrix, matrix, transpose } from "./matrix.ts";
import { type Block, blockOf, blockSize, makeReflector } from "./reflections.ts";
import { product, type Steps } from "./steps.ts";
import { addRows, axpy, dot, dotRows } from "./vector.ts";

export interface Bidiagonal {
  readonly diagonal: Float64Array;
  /** The entries above the diagonal. */
  readonly above: Float64Array;
  /** Reflections of Q. */
  readonly left: readonly Block[];
  /** Reflections of P. */
  readonly right: readonly Block[];
}

/** Bidiagonalizes a square matrix. Overwrites `source`. */
export function* bidiagonalize(source: Matrix): Steps<Bidiagonal> {
  const { rows: count, data } = source;
  const diagonal = new Float64Array(count);
  const above = new Float64Array(Math.max(0, count - 1));
  const [leftBlocks, rightBlocks]: [Block[], Block[]] = [[], []];
  const scratch = new Float64Array(count);
  for (let from = 0; from < count; from += blockSize) {
    const size = Math.min(blockSize, count - from);
    const width = count - from;
    // The reflections of this block turn the matrix into A − Vᵀ Y − Xᵀ U. Rows of V, Y, X and U are vectors without the entries before `from`.
    const [v, y, x, u] = [matrix(size, width), matrix(size, width), matrix(size, width), matrix(size, width)];
    const [tauLeft, tauRight] = [new Float64Array(size), new Float64Array(size)];
    for (let step = 0; step < size; step++) {
      const at = from + step;
      const length = width - step;
      const pivot = step * width + step;
      for (let row = step; row < width; row++) v.data[step * width + row] = data[(from + row) * count + at] ?? 0;
      for (let k = 0; k < step; k++) {
        axpy(-(y.data[k * width + step] ?? 0), v.data, k * width + step, v.data, pivot, length);
        axpy(-(u.data[k * width + step] ?? 0), x.data, k * width + step, v.data, pivot, length);
      }
      tauLeft[step] = makeReflector(v.data, pivot, length - 1);
      diagonal[at] = v.data[pivot] ?? 0;
      v.data[pivot] = 1;
      if (length === 1) break;
      // New row of Y without its first entry: τ (Aᵀ v − Σ (vₖ · v) yₖ − Σ (xₖ · v) uₖ).
      addRows(data, at * count + at + 1, count, length, v.data, pivot, y.data, pivot + 1, length - 1);
      for (let k = 0; k < step; k++) {
        const [a, b] = [
          dot(v.data, k * width + step, v.data, pivot, length),
          dot(x.data, k * width + step, v.data, pivot, length),
        ];
        axpy(-a, y.data, k * width + step + 1, y.data, pivot + 1, length - 1);
        axpy(-b, u.data, k * width + step + 1, y.data, pivot + 1, length - 1);
      }
      for (let column = pivot + 1; column < pivot + length; column++)
        y.data[column] = (tauLeft[step] ?? 0) * (y.data[column] ?? 0);
      u.data.set(data.subarray(at * count + at + 1, (at + 1) * count), pivot + 1);
      for (let k = 0; k <= step; k++) {
        axpy(-(v.data[k * width + step] ?? 0), y.data, k * width + step + 1, u.data, pivot + 1, length - 1);
        if (k < step)
          axpy(-(x.data[k * width + step] ?? 0), u.data, k * width + step + 1, u.data, pivot + 1, length - 1);
      }
      tauRight[step] = makeReflector(u.data, pivot + 1, length - 2);
      above[at] = u.data[pivot + 1] ?? 0;
      u.data[pivot + 1] = 1;
      // New row of X without its first entry: τ (A u − Σ (yₖ · u) vₖ − Σ (uₖ · u) xₖ).
      dotRows(data, (at + 1) * count + at + 1, count, length - 1, u.data, pivot + 1, scratch, 0, length - 1);
      x.data.set(scratch.subarray(0, length - 1), pivot + 1);
      for (let k = 0; k <= step; k++) {
        const other = k * width + step + 1;
        axpy(-dot(y.data, other, u.data, pivot + 1, length - 1), v.data, other, x.data, pivot + 1, length - 1);
        if (k < step)
          axpy(-dot(u.data, other, u.data, pivot + 1, length - 1), x.data, other, x.data, pivot + 1, length - 1);
      }
      for (let row = pivot + 1; row < pivot + length; row++) x.data[row] = (tauRight[step] ?? 0) * (x.data[row] ?? 0);
    }
    leftBlocks.push(yield* blockOf(from, v, tauLeft));
    rightBlocks.push(yield* blockOf(from, u, tauRight));
    yield* update(source, from + size, size, v, y, x, u);
  }
  return { diagonal, above, left: leftBlocks, right: rightBlocks };
}

/** Updates A ← A - Vᵀ Y - Xᵀ U in the rows and columns from `from` on. */
function* update(target: Matrix, from: number, size: number, v: Matrix, y: Matrix, x: Matrix, u: Matrix): Steps<void> {
  const { columns: count, data } = target;
  const remaining = count - from;
  if (remaining === 0) return;
  const stackTails = (first: Matrix, second: Matrix): Matrix => {
    const stackedTails = matrix(2 * size, remaining);
    for (let k = 0; k < size; k++) {
      stackedTails.data.set(first.data.subarray(k * first.columns + size, (k + 1) * first.columns), k * remaining);
      stackedTails.data.set(
        second.data.subarray(k * second.columns + size, (k + 1) * second.columns),
        (size + k) * remaining,
      );
    }
    return stackedTails;
  };
  const change = yield* product(transpose(stackTails(v, x)), stackTails(y, u));
  for (let row = 0; row < remaining; row++)
    axpy(-1, change.data, row * remaining, data, (from + row) * count + from, remaining);
}
