/**
 * Creates random orthogonal n × n matrices Q with Q · 1 = 1, which preserve means. Q is a Kronecker product, which is applied in n · Σ (factor sizes)
 * operations. Factors of size 4 are ½ J − I with J all ones. This is a Hadamard matrix, so each entry spreads over four with equal magnitude. The
 * remaining factor of size r is random: Q = Σ bᵢ cᵢᵀ for two orthonormal bases that start with 1 / √r.
 */
import { alongAxis } from "../tensor/dims.ts";
import type { Random } from "../tensor/random.ts";
import { type Matrix, matrix } from "./matrix.ts";
import { axpy, dot } from "./vector.ts";

const hadamard4 = matrix(
  4,
  4,
  Float64Array.from({ length: 16 }, (_, at) => (at % 5 === 0 ? -0.5 : 0.5)),
);

/** Returns the Kronecker factors of Q, outermost first. The size of the last factor is what remains of `size` after division by 4. */
export function orthogonalFactors(size: number, source: Random): readonly Matrix[] {
  const factors: Matrix[] = [];
  let remainingSize = size;
  // Size 8 is not divided into 4 · 2: for size 2, only the identity and the exchange of both entries preserve means.
  while (remainingSize % 4 === 0 && remainingSize !== 8) {
    factors.push(hadamard4);
    remainingSize /= 4;
  }
  return remainingSize === 1 ? factors : [...factors, randomOrthogonal(remainingSize, source)];
}

function randomOrthogonal(size: number, source: Random): Matrix {
  const [leftBasis, rightBasis] = [basis(size, source), basis(size, source)];
  const sum = matrix(size, size);
  for (let vector = 0; vector < size; vector++)
    for (let row = 0; row < size; row++)
      axpy(leftBasis[vector * size + row] ?? 0, rightBasis, vector * size, sum.data, row * size, size);
  return sum;
}

/** Returns an orthonormal basis as rows, the first of which has equal entries. Random vectors are orthogonalized twice for accuracy. */
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
 * Multiplies the vectors x along an axis by the Kronecker product Q, in place: y[j] = Σ x[i] · Q[i, j].
 * @param order The index along the axis of each entry of x, if the entries are permuted.
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
  for (let outerIndex = 0; outerIndex < outer; outerIndex++)
    for (let innerIndex = 0; innerIndex < inner; innerIndex++) {
      const indexOf = (entry: number): number => (outerIndex * count + (order?.[entry] ?? entry)) * inner + innerIndex;
      for (let entry = 0; entry < count; entry++) vector[entry] = numbers[indexOf(entry)] ?? 0;
      multiplyVector(vector, factors);
      for (let entry = 0; entry < count; entry++) numbers[indexOf(entry)] = vector[entry] ?? 0;
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
