/**
 * Truncation that is best for the outputs instead of the weights (SVD-LLM, Wang et al. 2024).
 *
 * For inputs X (tokens × in) with XᵀX = S Sᵀ, ‖X (W - Ŵ)ᵀ‖ = ‖(W - Ŵ) S‖. So W S is truncated to U diag(s) Vᵀ, and S is removed again. Since
 * U diag(s) Vᵀ = U Uᵀ W S, that is Ŵ = U Uᵀ W: S need not be invertible. The squares of the singular values left out are the squared error
 * of the outputs.
 */
import { Miss } from "../errors.ts";
import { cholesky } from "./cholesky.ts";
import { type Matrix, type Multiply, multiplyHere, scaleColumns, transpose } from "./matrix.ts";
import { svd } from "./svd.ts";
import { type TruncationOptions, truncatedSvd } from "./truncate.ts";

/** Ŵ = left · right. */
export interface WeightFactors {
  /** out × rank, orthonormal columns. */
  readonly left: Matrix;
  /** rank × in. */
  readonly right: Matrix;
  /** ‖X (W - Ŵ)ᵀ‖ / ‖X Wᵀ‖. */
  readonly relativeError: number;
}

/**
 * Factors of a weight (out × in) that keep its outputs, given a square root S of the Gram matrix XᵀX = S Sᵀ of its inputs (in × any), which may be
 * singular.
 *
 * @throws PithError E_SHAPE_MISMATCH if the sizes do not fit, E_OPTION if the rank is out of range.
 * @example
 * const { left, right, relativeError } = await whitenedSvd(fromDense(weight), await squareRoot(gram), 32, { multiply });
 */
export async function whitenedSvd(
  weight: Matrix,
  root: Matrix,
  rank: number,
  options: TruncationOptions = {},
): Promise<WeightFactors> {
  const { multiply = multiplyHere } = options;
  const { u, relativeError } = await truncatedSvd(await multiply(weight, root), rank, options);
  return { left: u, right: await multiply(transpose(u), weight), relativeError };
}

/**
 * S with S · Sᵀ = A, for a symmetric matrix without negative eigenvalues: Cholesky's factor, or where that fails (fewer samples than inputs)
 * U √Σ, since A = U Σ Uᵀ. Eigenvalues within rounding error of 0 count as 0.
 */
export async function squareRoot(gram: Matrix, multiply: Multiply = multiplyHere): Promise<Matrix> {
  const factor = await cholesky(gram, multiply);
  if (!(factor instanceof Miss)) return factor;
  const { u, s } = await svd(gram, multiply);
  const rounding = 2 ** -50 * gram.rows * (s[0] ?? 0);
  return scaleColumns(
    u,
    s.map((value) => (value > rounding ? Math.sqrt(value) : 0)),
  );
}
