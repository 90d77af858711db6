/**
 * Truncation that preserves outputs instead of weights (SVD-LLM, Wang et al. 2024). For inputs X (tokens × in) with XᵀX = S Sᵀ,
 * ‖X (W - Ŵ)ᵀ‖ = ‖(W - Ŵ) S‖, so W S is truncated to U diag(s) Vᵀ = U Uᵀ W S, and Ŵ = U Uᵀ W: S need not be invertible.
 * The squared singular values left out are the squared error of the outputs.
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
  readonly relativeError: number;
}

/**
 * Returns factors of a weight (out × in) that preserve its outputs, given a square root S of the Gram matrix XᵀX = S Sᵀ of its inputs (in × any).
 * S can be singular.
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

/** Returns S with S · Sᵀ = A for a positive semidefinite A: Cholesky's factor or, if that fails (fewer samples than inputs), U √Σ of A = U Σ Uᵀ. */
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
