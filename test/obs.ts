/**
 * Optimal brain surgeon, column by column, as somebody would write it through public imports alone: GPTQ (Frantar et al. 2022) where numbers go to a grid,
 * SparseGPT with one block (Frantar and Alistarh 2023) where some of them go to zero.
 */
import { type Gram, gramMatrices, type Solver } from "pith/calibrate";
import { cholesky, identity, type Matrix, solveCholesky } from "pith/math";
import { nearest, nearestCode } from "pith/quantize";

export const obs: Solver<Gram> = {
  id: "obs",
  evidence: gramMatrices(),
  scales: nearest.scales,
  codes: ({ matrices, sliceAt }, grid, { evidence }) =>
    matrices.map((weight, group) => {
      const codes = weight.data.slice();
      corrected(weight, factorsOf(evidence, group), (row, column, value) => {
        const slice = sliceAt(group, row, column);
        const code = nearestCode(grid, slice, value);
        codes[row * weight.columns + column] = code;
        return (code - (grid.zeroPoint[slice] ?? 0)) * (grid.scale[slice] ?? 0);
      });
      return { ...weight, data: codes };
    }),
  prune(weights, kept, { pattern, amount }, { evidence }) {
    const factors = weights.map((_, group) => factorsOf(evidence, group));
    const scores = weights.map((one, group) => ({
      ...one,
      data: one.data.map((w, at) => (w / (factors[group]?.pivot(at % one.columns) ?? 1)) ** 2),
    }));
    const left = pattern.choose(scores, kept, amount);
    return {
      weights: weights.map((one, group) =>
        corrected(one, factors[group] ?? factorsOf(evidence, group), (row, column, value) =>
          left[group]?.[row * one.columns + column] === 1 ? value : 0,
        ),
      ),
      kept: left,
    };
  },
};

interface Factors {
  /** Lower L with L · Lᵀ = H⁻¹. */
  readonly lower: Float64Array;
  pivot(column: number): number;
  /** Of a column that saw nothing. */
  isDead(column: number): boolean;
}

/** What changing a number takes from the outputs, the columns after it make good. */
function corrected(
  { rows, columns, data }: Matrix,
  { lower, pivot, isDead }: Factors,
  becomes: (row: number, column: number, value: number) => number,
): Matrix {
  const numbers = data.slice();
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      const value = isDead(column) ? 0 : (numbers[at] ?? 0);
      const after = becomes(row, column, value);
      const error = (value - after) / pivot(column);
      numbers[at] = after;
      for (let next = column + 1; next < columns; next++)
        numbers[at + next - column] =
          (numbers[at + next - column] ?? 0) - error * (lower[next * columns + column] ?? 0);
    }
  return { rows, columns, data: numbers };
}

/** H is the Gram matrix with 1 % of the mean of its diagonal; a column that saw nothing counts as 1 by itself. */
function factorsOf({ groups }: Gram, group: number): Factors {
  const gram = groups[group];
  if (gram === undefined) throw new Error("There is no Gram matrix.");
  const { rows: size } = gram;
  const data = gram.data.slice();
  const diagonal = Array.from({ length: size }, (_, at) => at * (size + 1));
  for (const at of diagonal) data[at] = data[at] || 1;
  const mean = diagonal.reduce((sum, at) => sum + (data[at] ?? 0), 0) / size;
  for (const at of diagonal) data[at] = (data[at] ?? 0) + 0.01 * mean;
  const factor = cholesky({ rows: size, columns: size, data });
  if (!("data" in factor)) throw new Error(factor.reason);
  const inverse = cholesky(solveCholesky(factor, identity(size)));
  if (!("data" in inverse)) throw new Error(inverse.reason);
  const { data: lower } = inverse;
  return {
    lower,
    pivot: (column) => lower[column * (size + 1)] ?? 1,
    isDead: (column) => gram.data[column * (size + 1)] === 0,
  };
}
