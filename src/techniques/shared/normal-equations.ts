/**
 * Ridge regression of a correction δ to weights w, for features P and targets y. It minimizes ‖r − P δ‖² + λ ‖δ‖² from sums over rows in float64:
 *      (PᵀP + λ I) δ = Pᵀ r,    r = y − P w,    so  Pᵀr = PᵀY − PᵀP w
 * The ridge λ does not apply to a feature that is 1 in all rows (the bias).
 */
import { groupBy, Miss } from "#ir";
import { cholesky, solveCholesky } from "../../core/math/cholesky.ts";
import { identity, type Matrix, type Multiply, matrix, subtract, transpose } from "../../core/math/matrix.ts";
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
 * Returns the correction δ from `gradient` Pᵀ r (f × o). `damping` is λ as a share of the mean square of a feature. `free` is 1 for entries
 * (f × o) that can change. `ones` is the index of the feature that is 1 in every row.
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
  const lower = await cholesky(damped, multiply);
  if (lower instanceof Miss) return lower;
  const solution = await solveCholesky(lower, gradient, multiply);
  return free === undefined ? solution : fixEntries({ damped, lower, gradient, solution, free }, multiply);
}

/**
 * Returns the solution of A δ = g with δ = 0 at the fixed entries Z of each output. It solves a system of the free entries, or, if Z has fewer,
 * a system of Z for each set of outputs that share Z:
 *
 *     δ = δ₀ − A⁻¹[:, Z] (A⁻¹[Z, Z])⁻¹ δ₀[Z],   δ₀ = A⁻¹ g
 */
async function fixEntries(
  {
    free,
    ...matrices
  }: Readonly<Record<"damped" | "lower" | "gradient" | "solution", Matrix>> & { readonly free: Uint8Array },
  multiply: Multiply,
): Promise<Matrix | Miss> {
  const { damped, lower, gradient, solution } = matrices;
  const { rows: size, columns: outputs } = gradient;
  const features = Array.from({ length: size }, (_, at) => at);
  const featuresWith = (isFree: number, output: number) =>
    features.filter((at) => Number(free[at * outputs + output]) === isFree);
  const systems = [...groupBy(Array(outputs).keys(), (output) => featuresWith(0, output).join()).values()].map(
    (same) => ({ same, kept: featuresWith(1, same[0]), fixed: featuresWith(0, same[0]) }),
  );
  const work = systems.reduce((sum, { kept, fixed }) => sum + Math.min(kept.length, fixed.length) ** 3 / 6, 0);
  if (work > maxMultiplications) return new Miss("the mask differs by output: too many linear systems to solve");
  const isInverted = systems.some(({ kept, fixed }) => fixed.length > 0 && fixed.length < kept.length);
  const inverse = isInverted ? await solveCholesky(lower, identity(size), multiply) : lower;
  const result = matrix(size, outputs);
  for (const { kept, fixed, same } of systems) {
    const isSmall = fixed.length < kept.length;
    const chosenEntries = isSmall ? fixed : kept;
    const part = cholesky(pick(isSmall ? inverse : damped, chosenEntries, chosenEntries));
    if (part instanceof Miss) return part;
    const values = solveCholesky(part, pick(isSmall ? solution : gradient, chosenEntries, same));
    const change = isSmall
      ? subtract(pick(solution, kept, same), await multiply(pick(inverse, kept, fixed), values))
      : values;
    kept.forEach((at, row) => {
      same.forEach((output, column) => {
        result.data[at * outputs + output] = change.data[row * same.length + column] ?? 0;
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
