/**
 * Truncation that preserves outputs instead of weights (SVD-LLM, Wang et al. 2024). For inputs X (tokens × in) with XᵀX = S Sᵀ, the output error is
 * ‖X (W − Ŵ)ᵀ‖ = ‖(W − Ŵ) S‖. So W S is truncated to U diag(s) Vᵀ = U Uᵀ W S, which gives Ŵ = U Uᵀ W.
 */
import { Miss } from "#ir";
import { cholesky } from "../../core/math/cholesky.ts";
import { type Matrix, type Multiply, multiplyInJs, scaleColumns, transpose } from "../../core/math/matrix.ts";
import { svd } from "../../core/math/svd.ts";
import { type TruncationOptions, truncatedSvd } from "./truncate.ts";

/** Two factors of the approximated weight Ŵ = left · right. */
export interface WeightFactors {
  /** out × rank, orthonormal columns. */
  readonly left: Matrix;
  /** rank × in. */
  readonly right: Matrix;
  readonly relativeError: number;
}

/** Returns factors of a weight (out × in) that preserve its outputs. @param root S with XᵀX = S Sᵀ for the inputs X; it can be singular. */
export async function whitenedSvd(
  weight: Matrix,
  root: Matrix,
  rank: number,
  options: TruncationOptions = {},
): Promise<WeightFactors> {
  const { multiply = multiplyInJs } = options;
  const { u, relativeError } = await truncatedSvd(await multiply(weight, root), rank, options);
  return { left: u, right: await multiply(transpose(u), weight), relativeError };
}

/** Returns S with S · Sᵀ = A, positive semidefinite: the Cholesky factor, or if that fails, U √Σ from A = U Σ Uᵀ. */
export async function squareRoot(gram: Matrix, multiply: Multiply = multiplyInJs): Promise<Matrix> {
  const factor = await cholesky(gram, multiply);
  if (!(factor instanceof Miss)) return factor;
  const { u, s } = await svd(gram, multiply);
  const rounding = 2 ** -50 * gram.rows * (s[0] ?? 0);
  return scaleColumns(
    u,
    s.map((value) => (value > rounding ? Math.sqrt(value) : 0)),
  );
}
