/**
 * Householder reflections in blocks, so that nearly all of their work is products: H₁ H₂ … = I - Vᵀ T V, a reflector in each row of V
 * (Schreiber and Van Loan 1989; Golub and Van Loan, Matrix Computations, 5.1.6). Vectors that are reflected lie in rows, too.
 */
import { type Matrix, matrix, sliceColumns, sliceRows, transpose } from "./matrix.ts";
import { householder } from "./qr.ts";
import { product, type Steps } from "./steps.ts";
import { axpy, dot } from "./vector.ts";

export interface Block {
  /** The first entry that the reflectors change. */
  readonly from: number;
  /** A reflector in each row, from entry `from` on. */
  readonly v: Matrix;
  /** Upper triangular. */
  readonly t: Matrix;
}

/** Larger blocks make products faster, and leave more work outside of products. */
export const blockSize = 32;

/** Reflectors that are applied to long vectors at once: fewer passes over memory. */
const wideBlock = 3 * blockSize;

export function* blockOf(from: number, v: Matrix, tau: Float64Array): Steps<Block> {
  const size = tau.length;
  const t = matrix(size, size);
  const overlaps = yield* product(v, transpose(v));
  for (let column = 0; column < size; column++) {
    const factor = tau[column] ?? 0;
    for (let row = 0; row < column; row++)
      t.data[row * size + column] =
        -factor * dot(t.data, row * size + row, overlaps.data, column * size + row, column - row);
    t.data[column * size + column] = factor;
  }
  return { from, v, t };
}

/** Each row x of `target` becomes Q x, or Qᵀ x, for the Q of the block. */
export function* reflectRows(target: Matrix, { from, v, t }: Block, inverse: boolean): Steps<void> {
  const { rows, columns, data } = target;
  if (rows === 0) return;
  const width = v.columns;
  const seen = width === columns ? target : sliceColumns(target, from, from + width);
  const shares = yield* product(seen, transpose(v));
  const change = yield* product(yield* product(shares, inverse ? t : transpose(t)), v);
  for (let row = 0; row < rows; row++) axpy(-1, change.data, row * width, data, row * columns + from, width);
}

/** Each row x becomes Q₁ Q₂ … x. */
export function* reflectByAll(target: Matrix, blocks: readonly Block[]): Steps<void> {
  for (const block of blocks.toReversed()) yield* reflectRows(target, block, false);
}

/**
 * A = Q R for a matrix that is given as its columns (count × length, count ≤ length): afterwards row j holds column j of R, and zeros.
 * @returns the blocks whose product is Q. Their reflectors include their zeros: slices of long vectors would cost more than they save.
 */
export function* triangularize(columns: Matrix): Steps<readonly Block[]> {
  const { rows: count, columns: length } = columns;
  const blocks: Block[] = [];
  for (let from = 0; from < count; from += wideBlock) {
    const end = Math.min(count, from + wideBlock);
    const [v, tau] = [matrix(end - from, length), new Float64Array(end - from)];
    for (let at = from; at < end; at += blockSize) {
      const next = Math.min(end, at + blockSize);
      const own = sliceRows(v, at - from, next - from);
      tau.set(triangularizeHere(sliceRows(columns, at, next), at, own), at - from);
      if (next < end)
        yield* reflectRows(
          sliceRows(columns, next, end),
          yield* blockOf(0, own, tau.subarray(at - from, next - from)),
          true,
        );
    }
    const block = yield* blockOf(0, v, tau);
    blocks.push(block);
    yield* reflectRows(sliceRows(columns, end, count), block, true);
  }
  return blocks;
}

/** Triangularizes columns whose first `from` entries are those of R already, and puts the reflectors into `v`. */
function triangularizeHere({ rows: size, columns: length, data }: Matrix, from: number, v: Matrix): Float64Array {
  const panel = sliceColumns(matrix(size, length, data), from, length);
  const { tau } = householder(panel.data, length - from, size, false);
  for (let row = 0; row < size; row++) {
    const [start, pivot] = [row * panel.columns, from + row];
    data.set(panel.data.subarray(start, start + row + 1), row * length + from);
    data.fill(0, row * length + pivot + 1, (row + 1) * length);
    v.data.set(panel.data.subarray(start + row, start + panel.columns), row * length + pivot);
    v.data[row * length + pivot] = 1;
  }
  return tau;
}
