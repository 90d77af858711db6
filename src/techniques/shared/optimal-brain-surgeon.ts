/**
 * Optimal brain surgeon by columns (Hassibi and Stork 1993; GPTQ and SparseGPT, Frantar et al. 2022 and 2023).
 * Later weights of a row w compensate for the effect of earlier changes on w · x:
 *      H = Σ x xᵀ,  H⁻¹ = Uᵀ U with U upper triangular:     e = (wⱼ − new wⱼ) / Uⱼⱼ,     w ← w − e · (row j of U)
 */
import { Miss } from "#ir";
import { factorize, invert } from "../../core/math/cholesky.ts";
import { type Matrix, type Multiply, matrix, sliceColumns, sliceRows } from "../../core/math/matrix.ts";
import { product, runSteps, type Steps } from "../../core/math/steps.ts";
import { addRows, axpy } from "../../core/math/vector.ts";

/** The approximate number of columns per matrix product. */
const blockSize = 128;

/** The share of the mean of H's diagonal that is added to the diagonal, because H is singular if there are few samples. */
const damping = 0.01;

/** Returns a matrix with a damped diagonal. @param reference its mean diagonal determines the damping. */
export function dampDiagonal(source: Matrix, reference = source): Matrix {
  const size = source.rows;
  let mean = 0;
  for (let at = 0; at < reference.data.length; at += size + 1) mean += (reference.data[at] ?? 0) / size;
  const sum = source.data.map((value, at) => (at % (size + 1) === 0 ? value + damping * mean : value));
  return matrix(size, size, sum);
}

export interface InverseHessian {
  /** The upper triangular U with UᵀU = H⁻¹. */
  readonly upper: Matrix;
  /** 1 for each input that is zero in all samples. */
  readonly dead: Uint8Array;
}

/** Returns U of the inverse Hessian, or a `Miss` without one. @param gram H = Σ x xᵀ. @param share damping, as a share of H's mean diagonal (0.01). */
export const invertHessian = (gram: Matrix, multiply: Multiply, share = damping): Promise<InverseHessian | Miss> =>
  runSteps(factorizeInverse(gram, share), multiply);

/** Factorizes H with rows and columns in reverse order. In the original order, this gives H = L Lᵀ with an upper triangular L, so U = L⁻¹. */
function* factorizeInverse(gram: Matrix, share: number): Steps<InverseHessian | Miss> {
  const { rows: size } = gram;
  const damped = matrix(size, size, gram.data.slice());
  const diagonal = Array.from({ length: size }, (_, at) => at * (size + 1));
  const dead = Uint8Array.from(diagonal, (at) => Number(gram.data[at] === 0));
  const mean = diagonal.reduce((sum, at) => sum + (damped.data[at] ?? 0), 0) / size;
  if (mean === 0) for (const at of diagonal) damped.data[at] = 1;
  for (const at of diagonal) damped.data[at] = (damped.data[at] ?? 0) + share * mean;
  damped.data.reverse();
  const lower = yield* factorize(damped);
  if (lower instanceof Miss) return lower;
  const upper = yield* invert(lower);
  upper.data.reverse();
  return { upper, dead };
}

export interface ColumnUpdate {
  /** The number of columns that `visit` receives at once, before any of them changes; all columns by default. */
  readonly step?: number;
  /** Called before a step changes columns. @param columns those from `from`, corrected for earlier changes; one matrix per group. */
  visit?(columns: readonly Matrix[], from: number): void;
  /** Returns the new value of a weight, such as its rounded value. */
  project(group: number, row: number, column: number, value: number): number;
}

/** Changes the weights of several matrices of equal width, column by column, with `update`. Later columns of each row compensate for each change. */
export const updateColumns = (
  weights: readonly Matrix[],
  inverses: readonly InverseHessian[],
  update: ColumnUpdate,
  multiply: Multiply,
): Promise<readonly Matrix[]> => runSteps(updateBlocks(weights, inverses, update), multiply);

function* updateBlocks(
  weights: readonly Matrix[],
  inverses: readonly InverseHessian[],
  { step = Number.POSITIVE_INFINITY, visit, project }: ColumnUpdate,
): Steps<readonly Matrix[]> {
  const results = weights.map((weight, group) => zeroDeadInputs(weight, inverses[group]?.dead));
  const width = weights[0]?.columns ?? 0;
  const stride = Number.isFinite(step) ? Math.max(1, Math.floor(blockSize / step)) * step : blockSize;
  for (let from = 0; from < width; from += stride) {
    const to = Math.min(width, from + stride);
    const size = to - from;
    const factors = inverses.map(({ upper }) => sliceColumns(sliceRows(upper, from, to), from, to).data);
    const errors = results.map(({ rows }) => matrix(rows, size));
    for (let start = from; start < to; start += Math.min(step, stride)) {
      const end = Math.min(to, start + step);
      if (start % step === 0) {
        const last = Math.min(width, start + step);
        visit?.(
          results.map((result) => sliceColumns(result, start, last)),
          start,
        );
      }
      for (const [group, { rows, data }] of results.entries()) {
        const [upper, blockErrors] = [factors[group], errors[group]?.data];
        if (upper === undefined || blockErrors === undefined) continue;
        for (let row = 0; row < rows; row++)
          updateRow(
            data.subarray(row * width + from, row * width + to),
            upper,
            blockErrors.subarray(row * size, (row + 1) * size),
            [start - from, end - from],
            (column, value) => project(group, row, from + column, value),
          );
      }
    }
    if (to === width) continue;
    for (const [group, { rows, data }] of results.entries()) {
      const [inverse, error] = [inverses[group], errors[group]];
      if (inverse === undefined || error === undefined) continue;
      const change = yield* product(error, sliceColumns(sliceRows(inverse.upper, from, to), to, width));
      for (let row = 0; row < rows; row++) axpy(1, change.data, row * (width - to), data, row * width + to, width - to);
    }
  }
  return results;
}

/** Number of columns whose errors reach the later columns of a block together. */
const stripSize = 8;

/** Changes columns [from, to) of one row of a block. @param upper U of the block. */
function updateRow(
  values: Float64Array,
  upper: Float64Array,
  errors: Float64Array,
  [from, to]: readonly [number, number],
  project: (column: number, value: number) => number,
): void {
  const size = values.length;
  for (let start = from; start < to; start += stripSize) {
    const end = Math.min(to, start + stripSize);
    for (let column = start; column < end; column++) {
      const value = values[column] ?? 0;
      const newValue = project(column, value);
      const factorIndex = column * (size + 1);
      const error = (value - newValue) / (upper[factorIndex] ?? 1);
      values[column] = newValue;
      errors[column] = -error;
      axpy(-error, upper, factorIndex + 1, values, column + 1, end - column - 1);
    }
    addRows(upper, start * size + end, size, end - start, errors, start, values, end, size - end);
  }
}

const zeroDeadInputs = ({ rows, columns, data }: Matrix, dead: Uint8Array | undefined): Matrix =>
  matrix(
    rows,
    columns,
    data.map((value, at) => (dead?.[at % columns] === 1 ? 0 : value)),
  );
