/**
 * The rank of a matrix without noise: empirical variational Bayes matrix factorization (Nakajima et al. 2013, "Global analytic
 * solution of fully-observed variational Bayesian matrix factorization").
 * For an L × M matrix (L ≤ M, α = L / M) of signal plus Gaussian noise of variance σ², a singular value γ is signal exactly if
 * γ² > M σ² x̲ with x̲ = (1 + τ̲)(1 + α / τ̲), τ̲ ≈ 2.5129 √α. The variance minimizes, with x = γ² / (M σ²),
 *      Σ_{x ≤ x̲} (x - ln x)  +  Σ_{x > x̲} (x - τ + ln((τ + 1) / x) + α ln(τ / α + 1)),   τ(x) = ½ (x - 1 - α + √((x - 1 - α)² - 4 α))
 * The objective is smooth between the variances at which a singular value changes sides, so a golden-section search runs in each interval.
 */
import { Miss } from "../errors.ts";

export interface NoiseEstimate {
  readonly rank: number;
  readonly noiseVariance: number;
}

/** 0.618^70 of an interval is less than float64 resolves near a minimum. */
const goldenSections = 70;

/** Estimates rank and noise variance from all min(rows, columns) singular values, descending; a `Miss` for one row or column. */
export function evbmf(s: ArrayLike<number>, rows: number, columns: number): NoiseEstimate | Miss {
  const smaller = Math.min(rows, columns);
  const larger = Math.max(rows, columns);
  if (smaller < 2)
    return new Miss(`a ${rows} × ${columns} matrix has only one singular value, so its noise cannot be estimated`);
  const largest = s[0] ?? 0;
  if (largest === 0) return { rank: 0, noiseVariance: 0 };
  // Relative to the largest, so that squares stay in range.
  const squares = Float64Array.from({ length: smaller }, (_, index) => ((s[index] ?? 0) / largest) ** 2);
  const alpha = smaller / larger;
  const tauBound = 2.5129 * Math.sqrt(alpha);
  const bound = (1 + tauBound) * (1 + alpha / tauBound);
  const sum = (from: number) => squares.subarray(from).reduce((total, square) => total + square, 0);
  const highest = sum(0) / (smaller * larger);
  const firstNoise = Math.max(Math.ceil(smaller / (1 + alpha)) - 1, 1);
  const lowest = Math.max(
    (squares[firstNoise] ?? 0) / (larger * bound),
    sum(firstNoise) / (smaller - firstNoise) / larger,
  );
  // The logarithms leave the range for smaller variances, which a matrix without noise reaches.
  const from = Math.max(lowest, highest * 1e-30);
  const breaks = Array.from(squares, (square) => square / (larger * bound)).filter((at) => at > from && at < highest);
  const edges = [from, ...breaks.reverse(), highest];
  const cost = (variance: number) => objective(squares, variance, larger, alpha, bound);
  let best = { variance: highest, cost: cost(highest) };
  for (let stretch = 0; stretch + 1 < edges.length; stretch++) {
    const found = goldenSearch(cost, edges[stretch] ?? 0, edges[stretch + 1] ?? 0);
    if (found.cost < best.cost) best = found;
  }
  const rank = squares.filter((square) => square > larger * best.variance * bound).length;
  return { rank, noiseVariance: best.variance * largest * largest };
}

function objective(squares: Float64Array, variance: number, larger: number, alpha: number, bound: number): number {
  let sum = 0;
  for (const square of squares) {
    const x = square / (larger * variance);
    if (x > bound) {
      const shifted = x - 1 - alpha;
      const tau = 0.5 * (shifted + Math.sqrt(Math.max(0, shifted * shifted - 4 * alpha)));
      sum += x - tau + Math.log((tau + 1) / x) + alpha * Math.log(tau / alpha + 1);
    } else if (x > 0) {
      sum += x - Math.log(x);
    } else {
      // A zero singular value adds -ln x = ln σ² and an infinite constant that is equal for every variance.
      sum += Math.log(variance);
    }
  }
  return sum;
}

function goldenSearch(
  cost: (variance: number) => number,
  from: number,
  to: number,
): { readonly variance: number; readonly cost: number } {
  const share = (Math.sqrt(5) - 1) / 2;
  let [low, high] = [from, to];
  let left = high - share * (high - low);
  let right = low + share * (high - low);
  let [costLeft, costRight] = [cost(left), cost(right)];
  for (let section = 0; section < goldenSections && high - low > 1e-14 * high; section++) {
    if (costLeft <= costRight) {
      [high, right, costRight] = [right, left, costLeft];
      left = high - share * (high - low);
      costLeft = cost(left);
    } else {
      [low, left, costLeft] = [left, right, costRight];
      right = low + share * (high - low);
      costRight = cost(right);
    }
  }
  return [low, left, right, high]
    .map((variance) => ({ variance, cost: cost(variance) }))
    .reduce((best, other) => (other.cost < best.cost ? other : best));
}
