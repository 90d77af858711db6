/**
 * Truncation that is best for the outputs instead of the weights (SVD-LLM, Wang et al. 2024).
 *
 * For inputs X (tokens × in) with X ᵀX = S Sᵀ (S lower triangular), ‖X (W - Ŵ)ᵀ‖ = ‖(W - Ŵ) S‖. So W S is truncated, and S taken out
 * again: Ŵ = U diag(s) Vᵀ S⁻¹. The squares of the singular values left out are the squared error of the outputs.
 */
import { solveLowerTransposed } from "./cholesky.ts";
import { type Matrix, multiplyHere, scaleColumns, transpose } from "./matrix.ts";
import { type TruncationOptions, truncatedSvd } from "./truncate.ts";

/** Ŵ = left · right. */
export interface WeightFactors {
  /** out × rank. */
  readonly left: Matrix;
  /** rank × in. */
  readonly right: Matrix;
  /** ‖X (W - Ŵ)ᵀ‖² over the inputs that the whitening factor stands for (with what was added to its diagonal). */
  readonly loss: number;
}

/**
 * Factors of a weight (out × in) that keep its outputs, given the lower Cholesky factor of the inputs' Gram matrix (in × in).
 *
 * @throws PithError E_SHAPE_MISMATCH if the sizes do not fit, E_OPTION if the rank is out of range.
 * @example
 * const factor = cholesky(gram);
 * if (!(factor instanceof Miss)) await whitenedSvd(fromDense(weight), factor, 32, { multiply });
 */
export async function whitenedSvd(
  weight: Matrix,
  factor: Matrix,
  rank: number,
  options: TruncationOptions = {},
): Promise<WeightFactors> {
  const { multiply = multiplyHere } = options;
  const { u, s, v, error } = await truncatedSvd(await multiply(weight, factor), rank, options);
  return { left: scaleColumns(u, s), right: transpose(solveLowerTransposed(factor, v)), loss: error * error };
}
