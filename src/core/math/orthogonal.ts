/**
 * Random orthogonal n × n matrices Q with Q · 1 = 1, which preserve means: Kronecker products, applied in n · Σ sizes operations.
 * Factors of size 4 are ½ J - I, a Hadamard matrix, which spreads each entry with equal magnitude, 1 / √n. The remaining factor is
 * random: Q = Σ bᵢ cᵢᵀ of two orthonormal bases that begin with 1 / √r.
 */
import { alongAxis } from "../tensor/dims.ts";
import type { Random } from "../tensor/random.ts";
import { type Matrix, matrix } from "./matrix.ts";
import { axpy, dot } from "./vector.ts";

const four = matrix(
  4,
  4,
  Float64Array.from({ length: 16 }, (_, at) => (at % 5 === 0 ? -0.5 : 0.5)),
);

/** Returns the Kronecker factors, outermost first. The largest is the part of `size` that is not a power of 4. */
export function orthogonalFactors(size: number, source: Random): readonly Matrix[] {
  const factors: Matrix[] = [];
  let rest = size;
  // For size 2 only identity and exchange preserve 1.
  while (rest % 4 === 0 && rest !== 8) {
    factors.push(four);
    rest /= 4;
  }
  return rest === 1 ? factors : [...factors, randomOrthogonal(rest, source)];
}

function randomOrthogonal(size: number, source: Random): Matrix {
  const [leftBasis, rightBasis] = [basis(size, source), basis(size, source)];
  const sum = matrix(size, size);
  for (let vector = 0; vector < size; vector++)
    for (let row = 0; row < size; row++)
      axpy(leftBasis[vector * size + row] ?? 0, rightBasis, vector * size, sum.data, row * size, size);
  return sum;
}

/** Returns orthonormal rows, the first with equal entries: random vectors, orthogonalized twice for accuracy. */
function basis(size: number, source: Random): Float64Array {
  const rows = new Float64Array(size * size);
  for (let row = 0; row < size; row++) {
    const at = row * size;
    for (let entry = 0; entry < size; entry++) rows[at + entry] = row === 0 ? 1 : source.normal();
    for (let pass = 0; pass < 2; pass++) {
      for (let other = 0; other < row; other++)
        axpy(-dot(rows, at, rows, other * size, size), rows, other * size, rows, at, size);
      const length = Math.sqrt(dot(rows, at, rows, at, size));
      for (let entry = 0; entry < size; entry++) rows[at + entry] = (rows[at + entry] ?? 0) / length;
    }
  }
  return rows;
}

/**
 * Multiplies vectors along an axis by the Kronecker product, in place: y[j] = Σ x[i] · Q[i, j].
 * @param order The position of each entry along the axis.
 */
export function multiplyAlong(
  numbers: Float64Array,
  dims: readonly number[],
  axis: number,
  factors: readonly Matrix[],
  order?: ArrayLike<number>,
): void {
  const { outer, count, inner } = alongAxis(dims, axis);
  const vector = new Float64Array(count);
  for (let first = 0; first < outer; first++)
    for (let last = 0; last < inner; last++) {
      const place = (entry: number): number => (first * count + (order?.[entry] ?? entry)) * inner + last;
      for (let entry = 0; entry < count; entry++) vector[entry] = numbers[place(entry)] ?? 0;
      multiplyVector(vector, factors);
      for (let entry = 0; entry < count; entry++) numbers[place(entry)] = vector[entry] ?? 0;
    }
}

function multiplyVector(vector: Float64Array, factors: readonly Matrix[]): void {
  let stride = vector.length;
  for (const { rows: size, data } of factors) {
    const part = new Float64Array(size);
    const block = stride;
    stride /= size;
    for (let begin = 0; begin < vector.length; begin += block)
      for (let at = begin; at < begin + stride; at++) {
        part.fill(0);
        for (let row = 0; row < size; row++) axpy(vector[at + row * stride] ?? 0, data, row * size, part, 0, size);
        for (let row = 0; row < size; row++) vector[at + row * stride] = part[row] ?? 0;
      }
  }
}
