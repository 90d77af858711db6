/**
 * The best approximation of a given rank, and how much it leaves out.
 *
 * Exact (Eckart and Young 1936): the leading singular triplets; the error is the norm of the other singular values.
 *
 * Randomized (Halko, Martinsson and Tropp 2011), for large matrices of which a small part is wanted: subspace iteration
 *
 *     Q ← orth(A Ω);   repeat  Z ← Aᵀ Q,  Q ← orth(A orth(Z));   A ≈ Q Zᵀ,   svd(Z) = V diag(s) Wᵀ,   U = Q W
 *
 * ‖Z‖² is the energy that Q has caught, so the iteration stops when it stands still. Q is orthonormal, so the error of the result is known,
 * not estimated: ‖A - U diag(s) Vᵀ‖² = ‖A‖² - Σ s².
 */
import { Miss, PithError } from "../errors.ts";
import { random } from "../tensor/random.ts";
import { cholesky, invertLower } from "./cholesky.ts";
import {
  frobenius,
  identity,
  type Matrix,
  type Multiply,
  matrix,
  multiplyHere,
  scaleColumns,
  sliceColumns,
  subtract,
  transpose,
} from "./matrix.ts";
import { applyQ, householder } from "./qr.ts";
import { truncationError } from "./rank.ts";
import { runWith } from "./steps.ts";
import { leadingTriplets, type Svd, svd } from "./svd.ts";

export interface TruncatedSvd extends Svd {
  /** ‖A - U diag(s) Vᵀ‖ in the Frobenius norm: what this approximation leaves out. */
  readonly error: number;
  /** The same relative to ‖A‖; 0 for a zero matrix. */
  readonly relativeError: number;
  readonly method: "exact" | "randomized";
}

export interface TruncationOptions {
  /** By default randomized where the smaller side exceeds 600 and the rank is below a quarter of it, exact otherwise. */
  readonly method?: "exact" | "randomized";
  /** Makes the large products of the randomized method; in JavaScript by default. */
  readonly multiply?: Multiply;
  /** Of the randomized method; 0 by default. */
  readonly seed?: number;
}

/**
 * The best approximation of rank `rank`, as thin singular factors: U m × rank, V n × rank.
 *
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
  const method = options.method ?? (smaller > 600 && 4 * rank <= smaller ? "randomized" : "exact");
  return method === "exact" ? exactSvd(source, rank, options) : randomizedSvd(source, rank, options);
}

async function exactSvd(
  source: Matrix,
  rank: number,
  { multiply = multiplyHere }: TruncationOptions,
): Promise<TruncatedSvd> {
  const { u, s, v } = await runWith(leadingTriplets(source, rank), multiply);
  const error = truncationError(s, rank);
  const whole = truncationError(s, 0);
  return { u, s: s.slice(0, rank), v, error, relativeError: whole === 0 ? 0 : error / whole, method: "exact" };
}

/** Columns beyond the rank: with 10 more the subspace misses the wanted one with negligible probability (Halko et al., section 4.3). */
const oversampling = 10;

const mostIterations = 12;

/** An iteration that catches less of the whole energy than this was the last one. */
const standstill = 1e-6;

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
  // Of norm 1, so that no square over- or underflows.
  const a = matrix(
    source.rows,
    source.columns,
    source.data.map((value) => value / norm),
  );
  const transposed = transpose(a);
  const width = Math.min(rank + oversampling, source.rows, source.columns);
  const stream = random(seed, "truncatedSvd");
  const start = matrix(a.columns, width);
  for (let at = 0; at < start.data.length; at++) start.data[at] = stream.normal();
  let basis = await orthonormalize(await multiply(a, start), multiply);
  let image = await multiply(transposed, basis);
  for (let iteration = 0, caught = frobenius(image) ** 2; iteration < mostIterations; iteration++) {
    basis = await orthonormalize(await multiply(a, await orthonormalize(image, multiply)), multiply);
    image = await multiply(transposed, basis);
    const now = frobenius(image) ** 2;
    if (now - caught <= standstill) break;
    caught = now;
  }
  const small = await svd(image, multiply);
  const u = await multiply(basis, sliceColumns(small.v, 0, rank));
  const s = small.s.slice(0, rank);
  const v = sliceColumns(small.u, 0, rank);
  const relativeError = await residual(a, u, s, v, multiply);
  return { u, s: s.map((value) => value * norm), v, error: relativeError * norm, relativeError, method: "randomized" };
}

/** ‖A - U diag(s) Vᵀ‖ for ‖A‖ = 1: from the energies, or from the difference itself where their difference would cancel. */
async function residual(a: Matrix, u: Matrix, s: Float64Array, v: Matrix, multiply: Multiply): Promise<number> {
  const left = 1 - s.reduce((sum, value) => sum + value * value, 0);
  if (left > 1e-8) return Math.sqrt(left);
  return frobenius(subtract(a, await multiply(scaleColumns(u, s), transpose(v))));
}

/**
 * An orthonormal basis of the columns. Cholesky QR twice, Y ← Y L⁻ᵀ with L Lᵀ = YᵀY, is made of products; it fails only where the columns
 * are nearly dependent, and there Householder reflections serve.
 */
export async function orthonormalize(source: Matrix, multiply: Multiply): Promise<Matrix> {
  let basis = source;
  for (let pass = 0; pass < 2; pass++) {
    const gram = await multiply(transpose(basis), basis);
    const factor = cholesky(gram);
    // The second pass repairs what the first has left only if that is little.
    if (factor instanceof Miss || (pass === 1 && deviationFromIdentity(gram) > 0.1)) return householderBasis(source);
    basis = await multiply(basis, transpose(invertLower(factor)));
  }
  return basis;
}

function householderBasis(source: Matrix): Matrix {
  const { rows, columns } = source;
  const reflectors = householder(transpose(source).data, rows, columns, false);
  const basis = matrix(columns, rows);
  for (let column = 0; column < columns; column++) basis.data[column * (rows + 1)] = 1;
  applyQ(reflectors, basis.data, columns);
  return transpose(basis);
}

function deviationFromIdentity(gram: Matrix): number {
  return subtract(gram, identity(gram.rows)).data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}
