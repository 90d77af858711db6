/**
 * Householder reflections in blocks, so that nearly all of their work is products: H₁ H₂ … = I - Vᵀ T V, a reflector in each row of V
 * (Schreiber and Van Loan 1989; Golub and Van Loan, Matrix Computations, 5.1.6). Vectors that are reflected lie in rows, too.
 */
import { type Matrix, matrix, sliceColumns, sliceRows, transpose } from "./matrix.ts";
import { householder } from "./qr.ts";
import { product, type Steps } from "./steps.ts";
import { dot } from "./vector.ts";

export interface Block {
  /** Entries before this one, and behind the reflectors, are left alone. */
  readonly from: number;
  /** A reflector in each row, from entry `from` on. */
  readonly v: Matrix;
  /** Upper triangular. */
  readonly t: Matrix;
}

/** More makes better use of products, and more of the work that is none. */
export const blockSize = 32;

export function blockOf(from: number, v: Matrix, tau: Float64Array): Block {
  const size = tau.length;
  const t = matrix(size, size);
  const overlap = new Float64Array(size);
  for (let column = 0; column < size; column++) {
    const factor = tau[column] ?? 0;
    for (let row = 0; row < column; row++)
      overlap[row] = dot(v.data, row * v.columns, v.data, column * v.columns, v.columns);
    for (let row = 0; row < column; row++)
      t.data[row * size + column] = -factor * dot(t.data, row * size + row, overlap, row, column - row);
    t.data[column * size + column] = factor;
  }
  return { from, v, t };
}

/** Each row x of `target`, from row `first` on, becomes Q x, or Qᵀ x, for the Q of the block. */
export function* reflectRows(target: Matrix, { from, v, t }: Block, inverse: boolean, first = 0): Steps<void> {
  const { rows, columns, data } = target;
  if (first === rows) return;
  const kept = sliceRows(target, first, rows);
  const width = v.columns;
  const seen = width === columns ? kept : sliceColumns(kept, from, from + width);
  const shares = yield* product(seen, transpose(v));
  const change = yield* product(yield* product(shares, inverse ? t : transpose(t)), v);
  for (let row = 0; row < kept.rows; row++) {
    const start = (first + row) * columns + from;
    for (let at = 0; at < width; at++)
      data[start + at] = (data[start + at] ?? 0) - (change.data[row * width + at] ?? 0);
  }
}

/** Each row x becomes Q₁ Q₂ … x. */
export function* reflectByAll(target: Matrix, blocks: readonly Block[]): Steps<void> {
  for (const block of blocks.toReversed()) yield* reflectRows(target, block, false);
}

/**
 * A = Q R for a matrix that is given as its columns (count × length, count ≤ length): afterwards row j holds column j of R, and zeros.
 * @returns the blocks whose product is Q. Their reflectors have their zeros: long vectors are not worth cutting out of.
 */
export function* triangularize(columns: Matrix): Steps<readonly Block[]> {
  const { rows: count, columns: length } = columns;
  const blocks: Block[] = [];
  for (let from = 0; from < count; from += blockSize) {
    const size = Math.min(blockSize, count - from);
    const own = sliceRows(columns, from, from + size);
    const panel = sliceColumns(own, from, length);
    const { tau } = householder(panel.data, length - from, size, false);
    const v = matrix(size, length);
    for (let row = 0; row < size; row++) {
      const [start, pivot] = [row * panel.columns, from + row];
      own.data.set(panel.data.subarray(start, start + row + 1), row * length + from);
      own.data.fill(0, row * length + pivot + 1, (row + 1) * length);
      v.data.set(panel.data.subarray(start + row, start + panel.columns), row * length + pivot);
      v.data[row * length + pivot] = 1;
    }
    const block = blockOf(0, v, tau);
    blocks.push(block);
    yield* reflectRows(columns, block, true, from + size);
  }
  return blocks;
}
