/**
 * Householder QR with column pivoting: A · P = Q · R, on contiguous columns (the transpose of a row-major matrix). The reflector H = I - τ v vᵀ of
 * step k is below the diagonal of column k (v₀ = 1 is implied), R on and above it (Golub and Van Loan, Matrix Computations, 5.2 and 5.4.2).
 */
import { axpy, dot } from "./vector.ts";

export interface Reflectors {
  readonly length: number;
  /** Column j at j · length: R on and above the diagonal, reflectors below. */
  readonly columns: Float64Array;
  readonly tau: Float64Array;
  /** Column j of A · P is column `order[j]` of A. */
  readonly order: Uint32Array;
}

/** Factorizes in place: the result owns `columns` (count × length). */
export function householder(columns: Float64Array, length: number, count: number, pivoting: boolean): Reflectors {
  const steps = Math.min(length, count);
  const tau = new Float64Array(steps);
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  const squares = new Float64Array(count);
  const exact = new Float64Array(count);
  if (pivoting) {
    for (let column = 0; column < count; column++) {
      exact[column] = squares[column] = dot(columns, column * length, columns, column * length, length);
    }
  }
  for (let step = 0; step < steps; step++) {
    if (pivoting) {
      let best = step;
      for (let column = step + 1; column < count; column++) {
        if ((squares[column] ?? 0) > (squares[best] ?? 0)) best = column;
      }
      if (best !== step) swapColumns(columns, length, order, squares, exact, step, best);
    }
    const start = step * length + step;
    const rest = length - step - 1;
    const factor = reflect(columns, start, rest);
    tau[step] = factor;
    for (let column = step + 1; column < count; column++) {
      const at = column * length + step;
      if (factor !== 0) {
        const head = columns[at] ?? 0;
        const scaled = factor * (head + dot(columns, start + 1, columns, at + 1, rest));
        columns[at] = head - scaled;
        axpy(-scaled, columns, start + 1, columns, at + 1, rest);
      }
      if (pivoting) {
        const head = columns[at] ?? 0;
        const left = (squares[column] ?? 0) - head * head;
        // Recomputes the norm if cancellation left only noise.
        if (left > 1e-8 * (exact[column] ?? 0)) squares[column] = left;
        else exact[column] = squares[column] = dot(columns, at + 1, columns, at + 1, rest);
      }
    }
  }
  return { length, columns, tau, order };
}

/** Replaces each of the `count` columns x of `target` by Q · x, in place. */
export function applyQ({ columns, length, tau }: Reflectors, target: Float64Array, count: number): void {
  for (let column = 0; column < count; column++) {
    for (let step = tau.length - 1; step >= 0; step--) {
      const factor = tau[step] ?? 0;
      if (factor === 0) continue;
      const start = step * length + step + 1;
      const at = column * length + step;
      const rest = length - step - 1;
      const head = target[at] ?? 0;
      const scaled = factor * (head + dot(columns, start, target, at + 1, rest));
      target[at] = head - scaled;
      axpy(-scaled, columns, start, target, at + 1, rest);
    }
  }
}

/** A smaller squared norm counts as zero, because squares of its entries would underflow. Assumes entries near 1. */
export const negligibleSquare = 2 ** -900;

/** Turns x = (x₀, tail) into (∓‖x‖, v) with (I - τ (1, v)(1, v)ᵀ) x = (∓‖x‖, 0), and returns τ. */
export function reflect(columns: Float64Array, start: number, rest: number): number {
  const tail = dot(columns, start + 1, columns, start + 1, rest);
  const head = columns[start] ?? 0;
  if (tail === 0 || head * head + tail < negligibleSquare) {
    columns.fill(0, start + 1, start + 1 + rest);
    return 0;
  }
  // Opposite to the head's sign, so that nothing cancels.
  const norm = head > 0 ? -Math.sqrt(head * head + tail) : Math.sqrt(head * head + tail);
  const inverse = 1 / (head - norm);
  for (let at = start + 1; at <= start + rest; at++) columns[at] = (columns[at] ?? 0) * inverse;
  columns[start] = norm;
  return (norm - head) / norm;
}

function swapColumns(
  columns: Float64Array,
  length: number,
  order: Uint32Array,
  squares: Float64Array,
  exact: Float64Array,
  a: number,
  b: number,
): void {
  const kept = columns.slice(a * length, (a + 1) * length);
  columns.copyWithin(a * length, b * length, (b + 1) * length);
  columns.set(kept, b * length);
  for (const values of [order, squares, exact]) {
    const value = values[a] ?? 0;
    values[a] = values[b] ?? 0;
    values[b] = value;
  }
}
