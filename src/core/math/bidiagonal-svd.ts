/** SVD of an upper bidiagonal matrix by implicit QR steps with Wilkinson's shift (Golub and Van Loan, Matrix Computations, 8.6.2). */
import type { Bidiagonal } from "./bidiagonal.ts";
import type { Matrix } from "./matrix.ts";
import { rotate } from "./vector.ts";

/** Counts as 0. Its fourth power, which the shift needs, does not underflow. */
const tiny = 2 ** -220;
const epsilon = 2 ** -52;

/** Rotations (four values each) are collected up to this length. */
const maxRotationValues = 2 ** 17;
/** Columns per tile, which fits into the second-level cache. */
const tile = 64;

function rotateRows(rotations: number[], { data, columns }: Matrix): void {
  for (let from = 0; from < columns; from += tile) {
    const width = Math.min(tile, columns - from);
    for (let at = 0; at < rotations.length; at += 4) {
      const [x, y] = [from + (rotations[at] ?? 0) * columns, from + (rotations[at + 1] ?? 0) * columns];
      rotate(data, x, y, width, rotations[at + 2] ?? 0, rotations[at + 3] ?? 0);
    }
  }
  rotations.length = 0;
}

/** Returns the rotation of (f, g) to (length, 0). The length has the sign of f, so that the cosine is not negative. */
function rotation(f: number, g: number): { readonly cosine: number; readonly sine: number; readonly length: number } {
  const length = (f < 0 ? -1 : 1) * Math.sqrt(f * f + g * g);
  return length === 0 ? { cosine: 1, sine: 0, length } : { cosine: f / length, sine: g / length, length };
}

/** Returns the unsorted, signed singular values; magnitudes must be near 1. Rotates `left` and `right`. */
export function bidiagonalSvd({ diagonal, above }: Bidiagonal, left: Matrix, right: Matrix): Float64Array {
  const count = diagonal.length;
  const [d, e] = [diagonal.slice(), new Float64Array(count)];
  e.set(above);
  const at = (values: Float64Array, index: number): number => values[index] ?? 0;
  const [leftRotations, rightRotations]: [number[], number[]] = [[], []];
  const collect = (rotations: number[], p: number, q: number, cosine: number, sine: number): void => {
    rotations.push(p, q, -sine, -sine / (1 + cosine));
    if (rotations.length < maxRotationValues) return;
    rotateRows(leftRotations, left);
    rotateRows(rightRotations, right);
  };

  for (let end = count - 1; end > 0; ) {
    let start = end;
    const isAboveNegligible = (index: number): boolean =>
      Math.abs(at(e, index)) <= tiny + epsilon * (Math.abs(at(d, index)) + Math.abs(at(d, index + 1)));
    while (start > 0 && !isAboveNegligible(start - 1)) start--;
    if (start > 0) e[start - 1] = 0;
    if (start === end) {
      end--;
      continue;
    }
    let zero = end;
    const isDiagonalNegligible = (index: number): boolean =>
      Math.abs(at(d, index)) <= tiny + epsilon * (Math.abs(at(e, index)) + Math.abs(at(e, index - 1)));
    while (zero >= start && !isDiagonalNegligible(zero)) zero--;
    if (zero === end) clearColumn(start, end);
    else if (zero >= start) clearRow(zero, end);
    else stepQr(start, end);
  }
  rotateRows(leftRotations, left);
  rotateRows(rightRotations, right);
  return d;

  /** Eliminates the entry above a zero at the end of the diagonal. */
  function clearColumn(start: number, end: number): void {
    d[end] = 0;
    let bulge = at(e, end - 1);
    e[end - 1] = 0;
    for (let j = end - 1; j >= start; j--) {
      const { cosine, sine, length } = rotation(at(d, j), bulge);
      d[j] = length;
      collect(rightRotations, j, end, cosine, sine);
      if (j === start) break;
      bulge = -sine * at(e, j - 1);
      e[j - 1] = cosine * at(e, j - 1);
    }
  }

  /** Eliminates the entry to the right of another zero on the diagonal. */
  function clearRow(zero: number, end: number): void {
    d[zero] = 0;
    let bulge = at(e, zero);
    e[zero] = 0;
    for (let j = zero + 1; j <= end; j++) {
      const { cosine, sine, length } = rotation(at(d, j), bulge);
      d[j] = length;
      collect(leftRotations, j, zero, cosine, sine);
      bulge = -sine * at(e, j);
      e[j] = cosine * at(e, j);
    }
  }

  function stepQr(start: number, end: number): void {
    const [first, last, before, besideLast] = [at(d, start), at(d, end), at(d, end - 1), at(e, end - 1)];
    const b = ((before + last) * (before - last) + besideLast ** 2) / 2;
    const c = (last * besideLast) ** 2;
    const root = b + (b < 0 ? -1 : 1) * Math.sqrt(b * b + c);
    let f = (first + last) * (first - last) + (root === 0 ? 0 : c / root);
    let g = first * at(e, start);
    for (let j = start; j < end; j++) {
      const columns = rotation(f, g);
      if (j > start) e[j - 1] = columns.length;
      f = columns.cosine * at(d, j) + columns.sine * at(e, j);
      e[j] = columns.cosine * at(e, j) - columns.sine * at(d, j);
      g = columns.sine * at(d, j + 1);
      d[j + 1] = columns.cosine * at(d, j + 1);
      collect(rightRotations, j, j + 1, columns.cosine, columns.sine);
      const rows = rotation(f, g);
      d[j] = rows.length;
      f = rows.cosine * at(e, j) + rows.sine * at(d, j + 1);
      d[j + 1] = rows.cosine * at(d, j + 1) - rows.sine * at(e, j);
      g = rows.sine * at(e, j + 1);
      e[j + 1] = rows.cosine * at(e, j + 1);
      collect(leftRotations, j, j + 1, rows.cosine, rows.sine);
    }
    e[end - 1] = f;
  }
}
