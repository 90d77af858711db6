/**
 * Ridge regression of a correction δ to weights w, which minimizes ‖r - P δ‖² + λ ‖δ‖²,
 *      (PᵀP + λ I) δ = Pᵀ r,    r = y - P w,    so  Pᵀr = PᵀY - PᵀP w
 * from sums over rows, in float64. The ridge excludes a column of ones (the bias). If some weights must stay zero, each output has its own system.
 */

import { Miss } from "../errors.ts";
import { cholesky, solveCholesky } from "./cholesky.ts";
import { type Matrix, type Multiply, matrix, subtract, transpose } from "./matrix.ts";
import { axpy } from "./vector.ts";

/** Sums over rows of features P (n × f) and targets Y (n × o). */
export interface Sums {
  readonly gram: Matrix;
  readonly cross: Matrix;
  /** Σ y² per output. */
  readonly power: Float64Array;
}

export function emptySums(features: number, outputs: number): Sums {
  const power = new Float64Array(outputs);
  return { gram: matrix(features, features), cross: matrix(features, outputs), power };
}

export async function addRows(sums: Sums, features: Matrix, targets: Matrix, multiply: Multiply): Promise<void> {
  const turned = transpose(features);
  addTo(sums.gram, await multiply(turned, features));
  addTo(sums.cross, await multiply(turned, targets));
  targets.data.forEach((value, at) => {
    const output = at % targets.columns;
    sums.power[output] = (sums.power[output] ?? 0) + value * value;
  });
}

export function addTo(total: Matrix, part: Matrix): void {
  axpy(1, part.data, 0, total.data, 0, part.data.length);
}

/** Computes Pᵀ r for the weights w (f × o). */
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

/** The maximum number of multiplications for separate systems. */
const maxMultiplications = 2e10;

/**
 * Returns δ for weights of which some can change.
 * @param free Entries (f × o) that can change; undefined for all.
 * @param ones The feature that is 1 in every row, if any.
 * @param damping λ as a share of the mean square of a feature.
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
    const place = at * (size + 1);
    // The weights of an always-zero feature stay.
    damped.data[place] = (damped.data[place] ?? 0) + (lambda > 0 ? lambda : 1);
  }
  if (free === undefined) {
    const lower = await cholesky(damped, multiply);
    return lower instanceof Miss ? lower : solveCholesky(lower, gradient, multiply);
  }
  return solveEach(damped, gradient, free);
}

/** Solves one system for all outputs with the same kept entries. */
function solveEach(damped: Matrix, gradient: Matrix, free: Uint8Array): Matrix | Miss {
  const [size, outputs] = [gradient.rows, gradient.columns];
  const systems = new Map<string, { readonly kept: readonly number[]; readonly outputs: number[] }>();
  for (let output = 0; output < outputs; output++) {
    const kept = Array.from({ length: size }, (_, at) => at).filter((at) => free[at * outputs + output] === 1);
    const key = kept.join();
    const system = systems.get(key) ?? { kept, outputs: [] };
    system.outputs.push(output);
    systems.set(key, system);
  }
  const work = [...systems.values()].reduce((sum, { kept }) => sum + kept.length ** 3 / 6, 0);
  if (work > maxMultiplications) return new Miss("the mask differs by output: too many linear systems to solve");
  const result = matrix(size, outputs);
  for (const { kept, outputs: sameOutputs } of systems.values()) {
    const lower = cholesky(pick(damped, kept, kept));
    if (lower instanceof Miss) return lower;
    const solved = solveCholesky(lower, pick(gradient, kept, sameOutputs));
    kept.forEach((at, row) => {
      sameOutputs.forEach((output, column) => {
        result.data[at * outputs + output] = solved.data[row * sameOutputs.length + column] ?? 0;
      });
    });
  }
  return result;
}

function pick({ columns: width, data }: Matrix, rows: readonly number[], columns: readonly number[]): Matrix {
  const picked = matrix(rows.length, columns.length);
  rows.forEach((row, at) => {
    columns.forEach((column, to) => {
      picked.data[at * columns.length + to] = data[row * width + column] ?? 0;
    });
  });
  return picked;
}
