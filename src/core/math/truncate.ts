/**
 * The best approximation of a given rank, and its error.
 * Exact (Eckart and Young 1936): the leading singular triplets; the error is the norm of the other singular values.
 * Randomized (Halko, Martinsson and Tropp 2011), for a part of a large matrix: subspace iteration
 *      Q ← orth(A V),   Z ← Aᵀ Q,   V ← orth(Z), …;   A ≈ Q Zᵀ,   svd(Z) = V diag(s) Wᵀ,   U = Q W
 * from a random V, or with powers of AᵀA in place of A, until the captured energy ‖Z‖² stops growing.
 * Q is orthonormal, so the error is exact: ‖A - U diag(s) Vᵀ‖² = ‖A‖² - Σ s².
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
  /** Default: randomized if the smaller side exceeds 600 and the rank is at most 0.4 of it, otherwise exact. */
  readonly method?: "exact" | "randomized";
  /** Computes the large products of the randomized method; default: in JavaScript. */
  readonly multiply?: Multiply;
  readonly seed?: number;
}

/**
 * Returns the best approximation of rank `rank`, as thin singular factors: U m × rank, V n × rank.
 * @throws PithError E_OPTION if the rank is not an integer from 0 to min(m, n), E_DATA if an entry is NaN or infinite.
 * @example
 * const { u, s, v, relativeError } = await truncatedSvd(fromDense(weight), 32, { multiply });
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

/** Extra columns beyond the rank: more make the subspace converge faster (Halko et al., section 4.3). */
const oversampling = 16;

const maxIterations = 12;

/** The iteration stops if it lowers the squared error by less than this share. */
const standstill = 2e-3;

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
  // Prevents overflow and underflow of squares.
  const scale = Math.abs(Math.log2(norm)) < 400 ? 1 : Math.max(norm, 2 ** -1000);
  const unit = scale === 1 ? source : scaleRows(source, new Float64Array(source.rows).fill(1 / scale));
  const squaredNorm = (norm / scale) ** 2;
  const wide = source.rows < source.columns;
  const turned = transpose(unit);
  const [a, transposed] = wide ? [turned, unit] : [unit, turned];
  const width = Math.min(rank + oversampling, a.columns);
  const stream = random(seed, "truncatedSvd");
  const start = matrix(a.columns, width);
  for (let at = 0; at < start.data.length; at++) start.data[at] = stream.uniform(-1, 1);
  const parts = { a, transposed, whole: squaredNorm, multiply };
  const gram = a.columns <= 4 * width ? await multiply(transposed, a) : undefined;
  const near = gram === undefined ? { vectors: start, caught: 0 } : await bySquaring(gram, start, multiply);
  const beyondGram = gram === undefined || 1 - near.caught < hiddenInGram;
  const {
    left: basis,
    right,
    small,
  } = beyondGram ? await byIteration(parts, near) : await projected(parts, near.vectors);
  const u = await multiply(basis, sliceColumns(small.u, 0, rank));
  const s = small.s.slice(0, rank);
  const v =
    right === undefined ? sliceColumns(small.v, 0, rank) : await multiply(right, sliceColumns(small.v, 0, rank));
  // Uses the energies, or the explicit difference if they would cancel.
  const missing = 1 - s.reduce((sum, value) => sum + value * value, 0) / squaredNorm;
  const relativeError =
    missing > 1e-8
      ? Math.sqrt(missing)
      : frobenius(subtract(a, await multiply(scaleColumns(u, s), transpose(v)))) / Math.sqrt(squaredNorm);
  return {
    ...(wide ? { u: v, v: u } : { u, v }),
    s: s.map((value) => value * scale),
    error: relativeError * norm,
    relativeError,
    method: "randomized",
  };
}

interface Parts {
  readonly a: Matrix;
  readonly transposed: Matrix;
  /** ‖A‖² */
  readonly whole: number;
  readonly multiply: Multiply;
}

interface Subspace {
  readonly vectors: Matrix;
  readonly caught: number;
}

/** A ≈ left · small · rightᵀ with orthonormal left and right; without `right`, A ≈ left · small. */
interface Projection {
  readonly left: Matrix;
  readonly right?: Matrix;
  readonly small: Svd;
}

async function byIteration({ a, transposed, whole, multiply }: Parts, near: Subspace): Promise<Projection> {
  let { vectors, caught } = near;
  for (let iteration = 0; ; iteration++) {
    const { basis } = await orthonormalize(await multiply(a, vectors), multiply);
    const image = await multiply(transposed, basis);
    const now = energy(image, image) / whole;
    if (now - caught <= Math.max(standstill * (1 - now), 1e-15) || iteration === maxIterations) {
      const { u, s, v } = await svd(image, multiply);
      return { left: basis, small: { u: v, s, v: u } };
    }
    caught = now;
    ({ basis: vectors } = await orthonormalize(image, multiply));
  }
}

/** Computes A V Vᵀ, for vectors that need no more iterations. */
async function projected({ a, multiply }: Parts, vectors: Matrix): Promise<Projection> {
  const { basis: right } = await orthonormalize(vectors, multiply);
  const image = await multiply(a, right);
  const { basis: leftBasis } = await orthonormalize(image, multiply);
  return { left: leftBasis, right, small: await svd(await multiply(transpose(leftBasis), image), multiply) };
}

/** The share of the energy below which the rest is near the rounding error of G². */
const hiddenInGram = 1e-7;

/** As `standstill`, for a squaring step, which is worth as many iterations as all before it. */
const standstillOfSquaring = 2e-2;

const maxSquarings = 5;

/** Subspace iteration with powers of G = AᵀA, scaled to trace 1, for flat spectra. Directions below the rounding error of G remain for A. */
async function bySquaring(product: Matrix, start: Matrix, multiply: Multiply): Promise<Subspace> {
  let trace = 0;
  for (let at = 0; at < product.data.length; at += product.rows + 1) trace += product.data[at] ?? 0;
  const gram = scaleRows(product, new Float64Array(product.rows).fill(1 / trace));
  let power = await multiply(gram, gram);
  let [vectors, caught] = [start, 0];
  for (let squarings = 1; ; squarings++) {
    const image = await multiply(power, vectors);
    const { basis, spread } = await orthonormalize(image, multiply, 1e-8);
    vectors = basis;
    const now = energy(vectors, await multiply(gram, vectors));
    const done = now - caught <= standstillOfSquaring * (1 - now);
    caught = now;
    if (done || squarings === maxSquarings) return { vectors, caught };
    // Squaring the power squares the spread, which must stay above the rounding error of a Gram matrix.
    if (spread > 1e-3) power = await multiply(power, power);
  }
}

/** Computes Σ aᵢⱼ bᵢⱼ. */
function energy(a: Matrix, b: Matrix): number {
  return dot(a.data, 0, b.data, 0, a.data.length);
}

export interface Basis {
  readonly basis: Matrix;
  /** The smallest pivot of the columns' Cholesky factor relative to the largest; 0 without such a factor. */
  readonly spread: number;
}

/**
 * Returns an orthonormal basis of the columns by Cholesky QR, Y ← Y L⁻ᵀ with L Lᵀ = YᵀY, repeated if it deviates from orthonormal by more
 * than `defect`. It fails only for nearly dependent columns, which use Householder reflections.
 */
export async function orthonormalize(source: Matrix, multiply: Multiply, defect = 2 ** -46): Promise<Basis> {
  let [basis, spread] = [source, 0];
  for (let pass = 0; pass < 2; pass++) {
    const gram = await multiply(transpose(basis), basis);
    const deviation = pass === 0 ? 1 : deviationFromIdentity(gram);
    if (deviation <= defect) break;
    const factor = await cholesky(gram, multiply);
    // The second pass can only repair a small defect.
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
