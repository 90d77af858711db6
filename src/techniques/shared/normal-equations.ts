/**
 * Ridge regression of a correction δ to weights w, for features P and targets y. It minimizes ‖r − P δ‖² + λ ‖δ‖² from sums over rows in float64:
 *      (PᵀP + λ I) δ = Pᵀ r,    r = y − P w,    so  Pᵀr = PᵀY − PᵀP w
 * The ridge λ does not apply to a feature that is 1 in all rows (the bias). If some weights must stay zero, each output has a separate linear system.
 */

import { Miss } from "#ir";
import { cholesky, solveCholesky } from "../../core/math/cholesky.ts";
import { type Matrix, type Multiply, matrix, subtract, transpose } from "../../core/math/matrix.ts";
import { axpy } from "../../core/math/vector.ts";

/** Sums over rows of features P (n × f) and targets Y (n × o). */
export interface Sums {
  /** PᵀP, f × f. */
  readonly gram: Matrix;
  /** PᵀY, f × o. */
  readonly cross: Matrix;
  /** Σ y² per output. */
  readonly power: Float64Array;
}

export function emptySums(features: number, outputs: number): Sums {
  const power = new Float64Array(outputs);
  return { gram: matrix(features, features), cross: matrix(features, outputs), power };
}

export async function addRows(sums: Sums, features: Matrix, targets: Matrix, multiply: Multiply): Promise<void> {
  const transposedFeatures = transpose(features);
  addTo(sums.gram, await multiply(transposedFeatures, features));
  addTo(sums.cross, await multiply(transposedFeatures, targets));
  targets.data.forEach((value, at) => {
    const output = at % targets.columns;
    sums.power[output] = (sums.power[output] ?? 0) + value * value;
  });
}

export function addTo(total: Matrix, part: Matrix): void {
  axpy(1, part.data, 0, total.data, 0, part.data.length);
}

/** Computes Pᵀ r = PᵀY − PᵀP w for the weights w (f × o). */
export async function gradientAt({ gram, cross }: Sums, weights: Matrix, multiply: Multiply): Promise<Matrix> {
  return subtract(cross, await multiply(gram, weights));
}

/** Computes Σ ‖y - P w‖² over all outputs. */
export async function residual(sums: Sums, weights: Matrix, multiply: Multiply): Promise<number> {
  // ‖y - P w‖² = yᵀy - wᵀ(PᵀY) - wᵀ(PᵀY - PᵀP w)
  const gradient = await gradientAt(sums, weights, multiply);
  let sum = sums.power.reduce((total, square) => total + square, 0);
  weights.data.forEach((value, at) => {
    sum -= value * ((sums.cross.data[at] ?? 0) + (gradient.data[at] ?? 0));
  });
  return Math.max(0, sum);
}

/** The maximum number of multiplications for solving the separate linear systems of outputs with different masks. */
const maxMultiplications = 2e10;

/**
 * Returns the correction δ.
 * @param gradient Pᵀ r (f × o).
 * @param settings `damping` is λ as a share of the mean square of a feature. `free` is 1 for entries (f × o) that can change; if undefined, all can
 * change. `ones` is the index of the feature that is 1 in every row, if there is one.
 */
export async function solveRidge(
  { gram }: Sums,
  gradient: Matrix,
  settings: { readonly damping: number; readonly free: Uint8Array | undefined; readonly ones: number | undefined },
  multiply: Multiply,
): Promise<Matrix | Miss> {
  const { damping, free, ones } = settings;
  const size = gram.rows;
  let trace = 0;
  for (let at = 0; at < size; at++) if (at !== ones) trace += gram.data[at * (size + 1)] ?? 0;
  const lambda = (damping * trace) / Math.max(1, size - (ones === undefined ? 0 : 1));
  const damped = matrix(size, size, gram.data.slice());
  for (let at = 0; at < size; at++) {
    if (at === ones) continue;
    const diagonalIndex = at * (size + 1);
    // Weights of a feature that is always zero get δ = 0.
    damped.data[diagonalIndex] = (damped.data[diagonalIndex] ?? 0) + (lambda > 0 ? lambda : 1);
  }
  if (free === undefined) {
    const lower = await cholesky(damped, multiply);
    return lower instanceof Miss ? lower : solveCholesky(lower, gradient, multiply);
  }
  return solveEach(damped, gradient, free);
}

/** Solves one linear system for each set of outputs that have the same free entries. */
function solveEach(damped: Matrix, gradient: Matrix, free: Uint8Array): Matrix | Miss {
  const [size, outputs] = [gradient.rows, gradient.columns];
  const systems = new Map<string, { readonly kept: readonly number[]; readonly outputs: number[] }>();
  for (let output = 0; output < outputs; output++) {
    const freeFeatures = Array.from({ length: size }, (_, at) => at).filter((at) => free[at * outputs + output] === 1);
    const key = freeFeatures.join();
    const system = systems.get(key) ?? { kept: freeFeatures, outputs: [] };
    system.outputs.push(output);
    systems.set(key, system);
  }
  const work = [...systems.values()].reduce((sum, { kept }) => sum + kept.length ** 3 / 6, 0);
  if (work > maxMultiplications) return new Miss("the mask differs by output: too many linear systems to solve");
  const result = matrix(size, outputs);
  for (const { kept, outputs: sameOutputs } of systems.values()) {
    const lower = cholesky(pick(damped, kept, kept));
    if (lower instanceof Miss) return lower;
    const correction = solveCholesky(lower, pick(gradient, kept, sameOutputs));
    kept.forEach((at, row) => {
      sameOutputs.forEach((output, column) => {
        result.data[at * outputs + output] = correction.data[row * sameOutputs.length + column] ?? 0;
      });
    });
  }
  return result;
}

function pick({ columns: width, data }: Matrix, rows: readonly number[], columns: readonly number[]): Matrix {
  const submatrix = matrix(rows.length, columns.length);
  rows.forEach((row, at) => {
    columns.forEach((column, to) => {
      submatrix.data[at * columns.length + to] = data[row * width + column] ?? 0;
    });
  });
  return submatrix;
}
