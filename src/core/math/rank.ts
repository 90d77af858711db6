/** Computes the numerical rank of a matrix from its singular values, and the rank that keeps a share of its energy. */
import { optionError } from "../errors.ts";
import { type Matrix, type Multiply, multiplyInJs } from "./matrix.ts";
import { singularValues } from "./svd.ts";

/** As `numpy.finfo(type).eps`. */
const epsilon = { bfloat16: 2 ** -7, float16: 2 ** -10, float32: 2 ** -23, float64: 2 ** -52 } as const;

export interface RankOptions {
  /** The stored type, which determines the tolerance. Default: float64. */
  readonly type?: keyof typeof epsilon;
  /** The tolerance; NumPy's by default. */
  readonly tol?: number;
}

/**
 * Returns the number of singular values above the tolerance, as `numpy.linalg.matrix_rank` does.
 * @throws PithError E_DATA if an element is NaN or infinite.
 * @example
 * matrixRank({ rows: 2, columns: 2, data: Float64Array.of(1, 2, 2, 4) }); // 1
 */
export function matrixRank(source: Matrix, options: RankOptions = {}): number {
  const s = singularValues(source);
  const tol = options.tol ?? rankTolerance(s, source.rows, source.columns, options.type);
  return s.filter((value) => value > tol).length;
}

/** NumPy's default: largest singular value · max(rows, columns) · ε of the stored type. */
export function rankTolerance(
  s: ArrayLike<number>,
  rows: number,
  columns: number,
  type: keyof typeof epsilon = "float64",
): number {
  return (s[0] ?? 0) * Math.max(rows, columns) * epsilon[type];
}

/**
 * Returns the squared singular values as shares of their sum, in descending order. Shares within the rounding error are 0.
 * @throws PithError E_DATA if an element is NaN or infinite.
 * @example
 * const shares = await energyShares({ rows: 2, columns: 2, data: Float64Array.of(3, 0, 0, 4) }); // [0.64, 0.36]
 */
export async function energyShares(source: Matrix, multiply: Multiply = multiplyInJs): Promise<Float64Array> {
  const s = await singularValues(source, multiply);
  const largest = s[0] || 1;
  const squares = s.map((value) => (value / largest) ** 2);
  const sum = squares.reduce((total, square) => total + square, 0) || 1;
  return squares.map((square) => (square <= 2 ** -52 * s.length ? 0 : square / sum));
}

/**
 * Returns the lowest rank whose singular values contain the share `energy` of all squared singular values.
 * @throws PithError E_OPTION unless 0 < `energy` ≤ 1.
 * @example
 * rankForEnergy([0.64, 0.36], 0.6); // 1
 */
export function rankForEnergy(shares: ArrayLike<number>, energy: number): number {
  if (!(energy > 0 && energy <= 1)) throw optionError(`The energy must be above 0 and at most 1, got ${energy}.`);
  // Adds up shares from the smallest to the largest. The tolerance prevents rounding errors from raising the rank.
  let [rank, excess] = [shares.length, 1 - energy + 1e-12];
  while (rank > 0) {
    excess -= shares[rank - 1] ?? 0;
    if (excess < 0) break;
    rank--;
  }
  return rank;
}

/** Returns the highest rank r at which two factors have fewer elements than the m × n matrix: r (m + n) < m n. */
export function largestRankThatSaves(rows: number, columns: number): number {
  return Math.max(0, Math.ceil((rows * columns) / (rows + columns)) - 1);
}

/** The Frobenius norm of the error of a truncation: √(Σ sᵢ²) from `rank` on. */
export function truncationError(s: ArrayLike<number>, rank: number): number {
  const first = s[rank] ?? 0;
  if (first === 0) return 0;
  let sum = 0;
  for (let index = s.length - 1; index >= rank; index--) sum += ((s[index] ?? 0) / first) ** 2;
  return first * Math.sqrt(sum);
}
