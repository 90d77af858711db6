/** Eigenvalues and eigenvectors of symmetric matrices. */
import { PithError } from "../errors.ts";
import { type Matrix, type Multiply, matrix } from "./matrix.ts";
import { svd } from "./svd.ts";

export interface SymmetricEigen {
  /** Descending. */
  readonly values: Float64Array;
  /** In columns, orthonormal. */
  readonly vectors: Matrix;
}

/**
 * The decomposition A = Q · diag(λ) · Qᵀ of a symmetric matrix, in JavaScript, or as a promise with large products made by `multiply`.
 *
 * By the singular value decomposition of A + c I, which is positive definite for a c above the norm of A, and whose singular values are λ + c:
 * errors are a small multiple of 2^-53 · c, with the largest sum of magnitudes in a row for half of c.
 * @throws PithError E_SHAPE_MISMATCH if the matrix is not square, E_DATA if an entry is NaN or infinite.
 * @example
 * const { values } = symmetricEigen(matrixOf([[2, 1], [1, 2]])); // [3, 1]
 */
export function symmetricEigen(source: Matrix): SymmetricEigen;
export function symmetricEigen(source: Matrix, multiply: Multiply): Promise<SymmetricEigen>;
export function symmetricEigen(source: Matrix, multiply?: Multiply): SymmetricEigen | Promise<SymmetricEigen> {
  const { rows: size, columns, data } = source;
  if (size !== columns) throw new PithError("E_SHAPE_MISMATCH", `A square matrix is needed, got ${size} × ${columns}.`);
  let norm = 0;
  for (let row = 0; row < size; row++) {
    const sum = data.subarray(row * size, (row + 1) * size).reduce((total, value) => total + Math.abs(value), 0);
    if (!(sum <= norm)) norm = sum;
  }
  const shifted = matrix(size, size, data.slice());
  for (let at = 0; at < data.length; at += size + 1) shifted.data[at] = (shifted.data[at] ?? 0) + 2 * norm;
  const unshift = ({ s, v }: { readonly s: Float64Array; readonly v: Matrix }): SymmetricEigen => ({
    values: s.map((value) => value - 2 * norm),
    vectors: v,
  });
  return multiply === undefined ? unshift(svd(shifted)) : svd(shifted, multiply).then(unshift);
}
