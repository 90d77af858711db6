/**
 * Computes the best approximation of a matrix with a given rank, and its error: exact (Eckart and Young 1936) by the leading singular triplets, or
 * randomized (Halko, Martinsson and Tropp 2011) by subspace iteration from a random V until the captured energy ‖Z‖² no longer grows:
 *      Q ← orth(A V),   Z ← Aᵀ Q,   V ← orth(Z), …;   A ≈ Q Zᵀ,   svd(Z) = V diag(s) Wᵀ,   U = Q W,   ‖A − U diag(s) Vᵀ‖² = ‖A‖² − Σ s²
 */
import { dataError, Miss, optionError, random } from "#ir";
import { cholesky, invert } from "../../core/math/cholesky.ts";
import {
  frobenius,
  type Matrix,
  type Multiply,
  matrix,
  multiplyInJs,
  scaleColumns,
  scaleRows,
  sliceColumns,
  subtract,
  transpose,
} from "../../core/math/matrix.ts";
import { truncationError } from "../../core/math/rank.ts";
import { reflectByAll, triangularize } from "../../core/math/reflections.ts";
import { runSteps, type Steps } from "../../core/math/steps.ts";
import { leadingTriplets, type Svd, svd } from "../../core/math/svd.ts";
import { dot } from "../../core/math/vector.ts";

export interface TruncatedSvd extends Svd {
  /** ‖A - U diag(s) Vᵀ‖ in the Frobenius norm. */
  readonly error: number;
  /** Relative to ‖A‖; 0 for a zero matrix. */
  readonly relativeError: number;
  readonly method: "exact" | "randomized";
}

export interface TruncationOptions {
  /** By default randomized for a low rank of a large matrix, otherwise exact. */
  readonly method?: "exact" | "randomized";
  /** Computes large products; by default in JavaScript. */
  readonly multiply?: Multiply;
  readonly seed?: number;
}

/**
 * Returns the best approximation with rank `rank` as thin singular factors: U is m × rank, V is n × rank.
 * @throws PithError E_OPTION if the rank is not an integer from 0 to min(m, n); E_DATA if an element is NaN or infinite.
 */
export async function truncatedSvd(
  source: Matrix,
  rank: number,
  options: TruncationOptions = {},
): Promise<TruncatedSvd> {
  const smaller = Math.min(source.rows, source.columns);
  if (!Number.isInteger(rank) || rank < 0 || rank > smaller)
    throw optionError(`The rank of a ${source.rows} × ${source.columns} matrix is from 0 to ${smaller}, got ${rank}.`);
  const method = options.method ?? (smaller > 600 && 5 * rank <= 2 * smaller ? "randomized" : "exact");
  return method === "exact" ? exactSvd(source, rank, options) : randomizedSvd(source, rank, options);
}

async function exactSvd(
  source: Matrix,
  rank: number,
  { multiply = multiplyInJs }: TruncationOptions,
): Promise<TruncatedSvd> {
  const { u, s, v } = await runSteps(leadingTriplets(source, rank), multiply);
  const error = truncationError(s, rank);
  const norm = truncationError(s, 0);
  return { u, s: s.slice(0, rank), v, error, relativeError: norm === 0 ? 0 : error / norm, method: "exact" };
}

/** Extra columns make the subspace converge faster (Halko et al., section 4.3). */
const oversampling = 16;

const maxIterations = 12;

/** The iteration stops below this gain in squared error. */
const minGain = 2e-3;

async function randomizedSvd(source: Matrix, rank: number, options: TruncationOptions): Promise<TruncatedSvd> {
  const { multiply = multiplyInJs, seed = 0 } = options;
  const norm = frobenius(source);
  if (!Number.isFinite(norm))
    throw dataError(`A singular value decomposition needs finite numbers; the matrix holds NaN or infinity.`);
  if (norm === 0) return exactSvd(source, rank, options);
  // Squares neither overflow nor underflow after scaling.
  const scale = Math.abs(Math.log2(norm)) < 400 ? 1 : Math.max(norm, 2 ** -1000);
  const scaledSource = scale === 1 ? source : scaleRows(source, new Float64Array(source.rows).fill(1 / scale));
  const squaredNorm = (norm / scale) ** 2;
  const isWide = source.rows < source.columns;
  const scaledTransposed = transpose(scaledSource);
  const [a, transposed] = isWide ? [scaledTransposed, scaledSource] : [scaledSource, scaledTransposed];
  const width = Math.min(rank + oversampling, a.columns);
  const stream = random(seed, "truncatedSvd");
  const start = matrix(a.columns, width);
  for (let at = 0; at < start.data.length; at++) start.data[at] = stream.uniform(-1, 1);
  const { basis, small } = await iterateSubspace({ a, transposed, totalEnergy: squaredNorm, multiply }, start);
  const [u, v] = [await multiply(basis, sliceColumns(small.v, 0, rank)), sliceColumns(small.u, 0, rank)];
  const s = small.s.slice(0, rank);
  // For tiny errors, the difference of energies would be inaccurate.
  const errorShare = 1 - s.reduce((sum, value) => sum + value * value, 0) / squaredNorm;
  const relativeError =
    errorShare > 1e-8
      ? Math.sqrt(errorShare)
      : frobenius(subtract(a, await multiply(scaleColumns(u, s), transpose(v)))) / Math.sqrt(squaredNorm);
  return {
    ...(isWide ? { u: v, v: u } : { u, v }),
    s: s.map((value) => value * scale),
    error: relativeError * norm,
    relativeError,
    method: "randomized",
  };
}

interface Problem {
  readonly a: Matrix;
  readonly transposed: Matrix;
  /** ‖A‖² */
  readonly totalEnergy: number;
  readonly multiply: Multiply;
}

/** Returns an orthonormal basis Q of the captured range. */
async function iterateSubspace({ a, transposed, totalEnergy, multiply }: Problem, start: Matrix) {
  let [vectors, capturedShare] = [start, 0];
  for (let iteration = 0; ; iteration++) {
    const basis = await orthonormalize(await multiply(a, vectors), multiply);
    const image = await multiply(transposed, basis);
    const newShare = innerProduct(image, image) / totalEnergy;
    if (newShare - capturedShare <= Math.max(minGain * (1 - newShare), 1e-15) || iteration === maxIterations)
      return { basis, small: await svd(image, multiply) };
    capturedShare = newShare;
    vectors = await orthonormalize(image, multiply);
  }
}

/** Σ aᵢⱼ bᵢⱼ. */
function innerProduct(a: Matrix, b: Matrix): number {
  return dot(a.data, 0, b.data, 0, a.data.length);
}

/**
 * Returns an orthonormal basis of the columns of Y by Cholesky QR: Y ← Y L⁻ᵀ with L Lᵀ = YᵀY, repeated once if the result is not orthonormal enough.
 * Cholesky QR fails for nearly dependent columns; Householder reflections are then used.
 */
export async function orthonormalize(source: Matrix, multiply: Multiply): Promise<Matrix> {
  let basis = source;
  for (let pass = 0; pass < 2; pass++) {
    const gram = await multiply(transpose(basis), basis);
    const deviation = pass === 0 ? 1 : deviationFromIdentity(gram);
    if (deviation <= 2 ** -46) break;
    const factor = await cholesky(gram, multiply);
    // A second pass can only correct a small deviation.
    if (factor instanceof Miss || (pass === 1 && deviation > 0.1)) return runSteps(householderBasis(source), multiply);
    basis = await multiply(basis, transpose(await runSteps(invert(factor), multiply)));
  }
  return basis;
}

function* householderBasis(source: Matrix): Steps<Matrix> {
  const { rows, columns } = source;
  const blocks = yield* triangularize(transpose(source));
  const basis = matrix(columns, rows);
  for (let column = 0; column < columns; column++) basis.data[column * (rows + 1)] = 1;
  yield* reflectByAll(basis, blocks);
  return transpose(basis);
}

function deviationFromIdentity({ rows, data }: Matrix): number {
  let max = 0;
  for (let at = 0; at < data.length; at++)
    max = Math.max(max, Math.abs((data[at] ?? 0) - (at % (rows + 1) === 0 ? 1 : 0)));
  return max;
}
