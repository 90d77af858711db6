/** SparseGPT with one block (Frantar and Alistarh 2023), as somebody would write it through public imports alone. */
import { type Gram, gramMatrices } from "pith/calibrate";
import { cholesky, identity, type Matrix, solveCholesky } from "pith/math";
import type { PruneSolver } from "pith/prune";

export const sparseGpt: PruneSolver<Gram> = {
  id: "sparsegpt",
  evidence: gramMatrices(),
  solve(weights, kept, { pattern, amount }, { evidence }) {
    const factors = evidence.groups.map(factorOfInverse);
    const pivot = (group: number, column: number, { columns }: Matrix): number =>
      factors[group]?.[column * (columns + 1)] ?? 1;
    const scores = weights.map((one, group) => ({
      ...one,
      data: one.data.map((w, at) => (w / pivot(group, at % one.columns, one)) ** 2),
    }));
    const left = pattern.choose(scores, kept, amount);
    const corrected = weights.map((one, group) => {
      const [data, factor] = [one.data.slice(), factors[group] ?? new Float64Array()];
      for (let at = 0; at < data.length; at++) {
        if (left[group]?.[at] === 1) continue;
        const column = at % one.columns;
        const error = (data[at] ?? 0) / pivot(group, column, one);
        data[at] = 0;
        for (let next = column + 1; next < one.columns; next++)
          data[at + next - column] =
            (data[at + next - column] ?? 0) - error * (factor[next * one.columns + column] ?? 0);
      }
      return { ...one, data };
    });
    return { weights: corrected, kept: left };
  },
};

/** Lower L with L · Lᵀ = H⁻¹, where 1 % of the mean of its diagonal is added to H. */
function factorOfInverse({ rows: size, columns, data: gram }: Matrix): Float64Array {
  const data = gram.slice();
  const diagonal = Array.from({ length: size }, (_, at) => at * (size + 1));
  const mean = diagonal.reduce((sum, at) => sum + (gram[at] ?? 0), 0) / size;
  for (const at of diagonal) data[at] = (data[at] ?? 0) + 0.01 * mean;
  const lower = cholesky({ rows: size, columns, data });
  if (!("data" in lower)) throw new Error(lower.reason);
  const inverse = cholesky(solveCholesky(lower, identity(size)));
  if (!("data" in inverse)) throw new Error(inverse.reason);
  return inverse.data;
}
