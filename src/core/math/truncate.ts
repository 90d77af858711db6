/**
 * Computes the best approximation of a matrix with a given rank, and its error.
 * - Exact (Eckart and Young 1936): the leading singular triplets. The error is the norm of the other singular values.
 * - Randomized (Halko, Martinsson and Tropp 2011), for few singular values of a large matrix: subspace iteration
 *      Q ← orth(A V),   Z ← Aᵀ Q,   V ← orth(Z), …;   A ≈ Q Zᵀ,   svd(Z) = V diag(s) Wᵀ,   U = Q W
 * The iteration starts from a random V, or from (AᵀA)ᵏ V, and ends when the captured energy ‖Z‖² no longer grows. Q is orthonormal, so the error is
 * known exactly: ‖A − U diag(s) Vᵀ‖² = ‖A‖² − Σ s².
 */
import { Miss, PithError } from "../errors.ts";
import { random } from "../tensor/random.ts";
import { cholesky, invertLower } from "./cholesky.ts";
import {
  frobenius,
  type Matrix,
  type Multiply,
  matrix,
  multiplyHere,
  scaleColumns,
  scaleRows,
  sliceColumns,
  subtract,
  transpose,
} from "./matrix.ts";
import { truncationError } from "./rank.ts";
import { reflectByAll, triangularize } from "./reflections.ts";
import { runWith, type Steps } from "./steps.ts";
import { leadingTriplets, type Svd, svd } from "./svd.ts";
import { dot } from "./vector.ts";

export interface TruncatedSvd extends Svd {
  /** The approximation error ‖A - U diag(s) Vᵀ‖ in the Frobenius norm. */
  readonly error: number;
  /** The error relative to ‖A‖; 0 for a zero matrix. */
  readonly relativeError: number;
  readonly method: "exact" | "randomized";
}

export interface TruncationOptions {
  /** The method. By default randomized if the smaller side exceeds 600 and the rank is at most 0.4 of it, otherwise exact. */
  readonly method?: "exact" | "randomized";
  /** Computes the large products of both methods; by default in JavaScript. */
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
  if (!Number.isInteger(rank) || rank < 0 || rank > smaller) {
    throw new PithError(
      "E_OPTION",
      `The rank of a ${source.rows} × ${source.columns} matrix is from 0 to ${smaller}, got ${rank}.`,
    );
  }
  const method = options.method ?? (smaller > 600 && 5 * rank <= 2 * smaller ? "randomized" : "exact");
  return method === "exact" ? exactSvd(source, rank, options) : randomizedSvd(source, rank, options);
}

async function exactSvd(
  source: Matrix,
  rank: number,
  { multiply = multiplyHere }: TruncationOptions,
): Promise<TruncatedSvd> {
  const { u, s, v } = await runWith(leadingTriplets(source, rank), multiply);
  const error = truncationError(s, rank);
  const norm = truncationError(s, 0);
  return { u, s: s.slice(0, rank), v, error, relativeError: norm === 0 ? 0 : error / norm, method: "exact" };
}

/** The number of extra columns beyond the rank, which make the subspace converge faster (Halko et al., section 4.3). */
const oversampling = 16;

const maxIterations = 12;

/** The iteration stops if it reduces the squared error by less than this share. */
const minGain = 2e-3;

async function randomizedSvd(source: Matrix, rank: number, options: TruncationOptions): Promise<TruncatedSvd> {
  const { multiply = multiplyHere, seed = 0 } = options;
  const norm = frobenius(source);
  if (!Number.isFinite(norm)) {
    throw new PithError(
      "E_DATA",
      `A singular value decomposition needs finite numbers; the matrix holds NaN or infinity.`,
    );
  }
  if (norm === 0) return exactSvd(source, rank, options);
  // Scales the matrix so that squares neither overflow nor underflow.
  const scale = Math.abs(Math.log2(norm)) < 400 ? 1 : Math.max(norm, 2 ** -1000);
  const scaled = scale === 1 ? source : scaleRows(source, new Float64Array(source.rows).fill(1 / scale));
  const squaredNorm = (norm / scale) ** 2;
  const isWide = source.rows < source.columns;
  const scaledTransposed = transpose(scaled);
  const [a, transposed] = isWide ? [scaledTransposed, scaled] : [scaled, scaledTransposed];
  const width = Math.min(rank + oversampling, a.columns);
  const stream = random(seed, "truncatedSvd");
  const start = matrix(a.columns, width);
  for (let at = 0; at < start.data.length; at++) start.data[at] = stream.uniform(-1, 1);
  const problem = { a, transposed, totalEnergy: squaredNorm, multiply };
  const gram = a.columns <= 4 * width ? await multiply(transposed, a) : undefined;
  const startSpace =
    gram === undefined ? { vectors: start, capturedShare: 0 } : await iterateBySquaring(gram, start, multiply);
  const needsIteration = gram === undefined || 1 - startSpace.capturedShare < gramResolution;
  const {
    left: basis,
    right,
    small,
  } = needsIteration ? await iterateSubspace(problem, startSpace) : await project(problem, startSpace.vectors);
  const u = await multiply(basis, sliceColumns(small.u, 0, rank));
  const s = small.s.slice(0, rank);
  const v =
    right === undefined ? sliceColumns(small.v, 0, rank) : await multiply(right, sliceColumns(small.v, 0, rank));
  // Computes the error from the energies, or, if it is so small that their difference would be inaccurate, from the difference of the matrices.
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

/** A subspace, and the share of the energy ‖A‖² that it captures. */
interface Subspace {
  readonly vectors: Matrix;
  readonly capturedShare: number;
}

/** A ≈ left · small · rightᵀ with orthonormal columns in `left` and `right`. If `right` is undefined, A ≈ left · small. */
interface Projection {
  readonly left: Matrix;
  readonly right?: Matrix;
  readonly small: Svd;
}

async function iterateSubspace(
  { a, transposed, totalEnergy, multiply }: Problem,
  startSpace: Subspace,
): Promise<Projection> {
  let { vectors, capturedShare } = startSpace;
  for (let iteration = 0; ; iteration++) {
    const { basis } = await orthonormalize(await multiply(a, vectors), multiply);
    const image = await multiply(transposed, basis);
    const captured = energy(image, image) / totalEnergy;
    if (captured - capturedShare <= Math.max(minGain * (1 - captured), 1e-15) || iteration === maxIterations) {
      const { u, s, v } = await svd(image, multiply);
      return { left: basis, small: { u: v, s, v: u } };
    }
    capturedShare = captured;
    ({ basis: vectors } = await orthonormalize(image, multiply));
  }
}

/** Projects A to the subspace of the final vectors V, as A V Vᵀ. */
async function project({ a, multiply }: Problem, vectors: Matrix): Promise<Projection> {
  const { basis: right } = await orthonormalize(vectors, multiply);
  const image = await multiply(a, right);
  const { basis: leftBasis } = await orthonormalize(image, multiply);
  return { left: leftBasis, right, small: await svd(await multiply(transpose(leftBasis), image), multiply) };
}

/** The share of energy not yet captured below which rounding errors of (AᵀA)² dominate, so that the iteration must continue with A. */
const gramResolution = 1e-7;

/** The limit that corresponds to `minGain` for a squaring step. One squaring equals as many iterations as all steps before it together. */
const minSquaringGain = 2e-2;

const maxSquarings = 5;

/**
 * Subspace iteration with powers of G = AᵀA, scaled to trace 1, which needs fewer steps if singular values decay slowly. It cannot find directions
 * whose energy is below the rounding error of G.
 */
async function iterateBySquaring(product: Matrix, start: Matrix, multiply: Multiply): Promise<Subspace> {
  let trace = 0;
  for (let at = 0; at < product.data.length; at += product.rows + 1) trace += product.data[at] ?? 0;
  const gram = scaleRows(product, new Float64Array(product.rows).fill(1 / trace));
  let power = await multiply(gram, gram);
  let [vectors, capturedShare] = [start, 0];
  for (let squarings = 1; ; squarings++) {
    const image = await multiply(power, vectors);
    const { basis, spread } = await orthonormalize(image, multiply, 1e-8);
    vectors = basis;
    const captured = energy(vectors, await multiply(gram, vectors));
    const isDone = captured - capturedShare <= minSquaringGain * (1 - captured);
    capturedShare = captured;
    if (isDone || squarings === maxSquarings) return { vectors, capturedShare: capturedShare };
    // Squaring the power also squares `spread`, which must stay above the rounding error of a Gram matrix.
    if (spread > 1e-3) power = await multiply(power, power);
  }
}

/** Computes Σ aᵢⱼ bᵢⱼ. */
function energy(a: Matrix, b: Matrix): number {
  return dot(a.data, 0, b.data, 0, a.data.length);
}

export interface Basis {
  readonly basis: Matrix;
  /** The smallest pivot of the columns' Cholesky factor divided by the largest; 0 if there is no such factor. */
  readonly spread: number;
}

/**
 * Returns an orthonormal basis of the columns of Y by Cholesky QR: Y ← Y L⁻ᵀ with L Lᵀ = YᵀY. Repeats this once if the result deviates from
 * orthonormality by more than `defect`. Cholesky QR fails for nearly dependent columns; Householder reflections are then used.
 */
export async function orthonormalize(source: Matrix, multiply: Multiply, defect = 2 ** -46): Promise<Basis> {
  let [basis, spread] = [source, 0];
  for (let pass = 0; pass < 2; pass++) {
    const gram = await multiply(transpose(basis), basis);
    const deviation = pass === 0 ? 1 : deviationFromIdentity(gram);
    if (deviation <= defect) break;
    const factor = await cholesky(gram, multiply);
    // A second pass can only correct a small deviation.
    if (factor instanceof Miss || (pass === 1 && deviation > 0.1))
      return { basis: await runWith(householderBasis(source), multiply), spread: 0 };
    if (pass === 0) spread = pivotSpread(factor);
    basis = await multiply(basis, transpose(await invertLower(factor, multiply)));
  }
  return { basis, spread };
}

function* householderBasis(source: Matrix): Steps<Matrix> {
  const { rows, columns } = source;
  const blocks = yield* triangularize(transpose(source));
  const basis = matrix(columns, rows);
  for (let column = 0; column < columns; column++) basis.data[column * (rows + 1)] = 1;
  yield* reflectByAll(basis, blocks);
  return transpose(basis);
}

function pivotSpread({ rows, data }: Matrix): number {
  const pivots = Float64Array.from({ length: rows }, (_, index) => data[index * (rows + 1)] ?? 0).sort();
  return (pivots[0] ?? 1) / (pivots.at(-1) ?? 1);
}

function deviationFromIdentity({ rows, data }: Matrix): number {
  let max = 0;
  for (let at = 0; at < data.length; at++)
    max = Math.max(max, Math.abs((data[at] ?? 0) - (at % (rows + 1) === 0 ? 1 : 0)));
  return max;
}
