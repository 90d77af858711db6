/**
 * Blocked Householder reflections: H₁ H₂ … = I − Vᵀ T V, with one reflector per row of V (Schreiber and Van
 * Loan 1989; Golub and Van Loan, Matrix Computations, 5.1.6). The vectors to reflect are rows, too.
 */
import { type Matrix, matrix, sliceColumns, sliceRows, transpose } from "./matrix.ts";
import { product, type Steps } from "./steps.ts";
import { axpy, dot } from "./vector.ts";

export interface Block {
  /** The first entry that the reflectors change. */
  readonly from: number;
  /** The reflectors as rows, starting at entry `from`. */
  readonly v: Matrix;
  /** T, upper triangular. */
  readonly t: Matrix;
}

/** Larger blocks make products faster, but leave more work outside products. */
export const blockSize = 32;

/** Reflectors that are applied together to long vectors, which saves passes over memory. */
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

/** Replaces each row x of `target` by Q x for Q = I − Vᵀ T V, or by Qᵀ x if `isInverse`. */
function* reflectRows(target: Matrix, { from, v, t }: Block, isInverse: boolean): Steps<void> {
  const { rows, columns, data } = target;
  if (rows === 0) return;
  const width = v.columns;
  const affectedColumns = width === columns ? target : sliceColumns(target, from, from + width);
  const shares = yield* product(affectedColumns, transpose(v));
  const change = yield* product(yield* product(shares, isInverse ? t : transpose(t)), v);
  for (let row = 0; row < rows; row++) axpy(-1, change.data, row * width, data, row * columns + from, width);
}

/** Replaces each row x by Q₁ Q₂ … x, with one Q per block. */
export function* reflectByAll(target: Matrix, blocks: readonly Block[]): Steps<void> {
  for (const block of blocks.toReversed()) yield* reflectRows(target, block, false);
}

/**
 * Computes A = Q R in place. The rows of `columns` are the columns of A. Row j becomes column j of R, followed by zeros.
 * @returns The blocks whose product is Q. Their reflectors have leading zeros, because slicing long vectors would take longer.
 */
export function* triangularize(columns: Matrix): Steps<readonly Block[]> {
  const { rows: count, columns: length } = columns;
  const blocks: Block[] = [];
  for (let from = 0; from < count; from += wideBlock) {
    const end = Math.min(count, from + wideBlock);
    const [v, tau] = [matrix(end - from, length), new Float64Array(end - from)];
    for (let at = from; at < end; at += blockSize) {
      const next = Math.min(end, at + blockSize);
      const reflectors = sliceRows(v, at - from, next - from);
      tau.set(triangularizePanel(sliceRows(columns, at, next), at, reflectors), at - from);
      if (next < end)
        yield* reflectRows(
          sliceRows(columns, next, end),
          yield* blockOf(0, reflectors, tau.subarray(at - from, next - from)),
          true,
        );
    }
    const block = yield* blockOf(0, v, tau);
    blocks.push(block);
    yield* reflectRows(sliceRows(columns, end, count), block, true);
  }
  return blocks;
}

/** Triangularizes columns whose first `from` entries belong to R. Stores the reflectors in `v` and returns their factors τ. */
function triangularizePanel({ rows: size, columns: length, data }: Matrix, from: number, v: Matrix): Float64Array {
  const panel = sliceColumns(matrix(size, length, data), from, length);
  const tau = factorizeQr(panel.data, length - from, size);
  for (let row = 0; row < size; row++) {
    const [start, pivot] = [row * panel.columns, from + row];
    data.set(panel.data.subarray(start, start + row + 1), row * length + from);
    data.fill(0, row * length + pivot + 1, (row + 1) * length);
    v.data.set(panel.data.subarray(start + row, start + panel.columns), row * length + pivot);
    v.data[row * length + pivot] = 1;
  }
  return tau;
}

/** QR of contiguous columns in place: R on and above the diagonal, reflectors below, with an implied v₀ = 1. Returns each τ. */
function factorizeQr(columns: Float64Array, length: number, count: number): Float64Array {
  const tau = new Float64Array(Math.min(length, count));
  for (let step = 0; step < tau.length; step++) {
    const start = step * length + step;
    const tailLength = length - step - 1;
    const factor = makeReflector(columns, start, tailLength);
    tau[step] = factor;
    if (factor === 0) continue;
    for (let column = step + 1; column < count; column++) {
      const at = column * length + step;
      const head = columns[at] ?? 0;
      const projection = factor * (head + dot(columns, start + 1, columns, at + 1, tailLength));
      columns[at] = head - projection;
      axpy(-projection, columns, start + 1, columns, at + 1, tailLength);
    }
  }
  return tau;
}

/** Smaller squared norms count as zero, because squares of entries would underflow. */
const negligibleSquare = 2 ** -900;

/** Replaces x = (x₀, tail) by (∓‖x‖, v) with (I − τ (1, v)(1, v)ᵀ) x = (∓‖x‖, 0), and returns τ. */
export function makeReflector(columns: Float64Array, start: number, rest: number): number {
  const tailSquare = dot(columns, start + 1, columns, start + 1, rest);
  const head = columns[start] ?? 0;
  if (tailSquare === 0 || head * head + tailSquare < negligibleSquare) {
    columns.fill(0, start + 1, start + 1 + rest);
    return 0;
  }
  // The norm has the opposite sign of the head, which prevents cancellation.
  const norm = head > 0 ? -Math.sqrt(head * head + tailSquare) : Math.sqrt(head * head + tailSquare);
  const inverse = 1 / (head - norm);
  for (let at = start + 1; at <= start + rest; at++) columns[at] = (columns[at] ?? 0) * inverse;
  columns[start] = norm;
  return (norm - head) / norm;
}
