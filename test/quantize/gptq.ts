/** GPTQ (Frantar et al. 2022), as somebody would write it through public imports alone. */
import { type Gram, gramMatrices } from "pith/calibrate";
import { cholesky, identity, type Matrix, solveCholesky } from "pith/math";
import { nearest, nearestCode, type Rounder } from "pith/quantize";

/** Added to the diagonal: so much of its mean. */
const damping = 0.01;

/** Column after column; what rounding one takes from the outputs, those after it make good. */
export const gptq: Rounder<Gram> = {
  id: "gptq",
  evidence: gramMatrices(),
  scales: nearest.scales,
  codes: ({ matrices, sliceAt }, grid, { evidence }) =>
    matrices.map((weight, group) => {
      const { rows, columns } = weight;
      const gram = evidence.groups[group];
      if (gram === undefined) throw new Error("There is no Gram matrix.");
      const factor = factorOfInverse(gram);
      const [numbers, codes] = [weight.data.slice(), weight.data.slice()];
      for (let column = 0; column < columns; column++) {
        const pivot = factor[column * (columns + 1)] ?? 1;
        for (let row = 0; row < rows; row++) {
          const at = row * columns + column;
          const slice = sliceAt(group, row, column);
          const value = gram.data[column * (columns + 1)] === 0 ? 0 : (numbers[at] ?? 0);
          const code = nearestCode(grid, slice, value);
          codes[at] = code;
          const error = (value - (code - (grid.zeroPoint[slice] ?? 0)) * (grid.scale[slice] ?? 0)) / pivot;
          for (let next = column + 1; next < columns; next++)
            numbers[at + next - column] =
              (numbers[at + next - column] ?? 0) - error * (factor[next * columns + column] ?? 0);
        }
      }
      return { rows, columns, data: codes };
    }),
};

/** Lower L with L · Lᵀ = H⁻¹, where a column that saw nothing counts as 1 by itself. */
function factorOfInverse({ rows: size, columns, data: gram }: Matrix): Float64Array {
  const data = gram.slice();
  const diagonal = Array.from({ length: size }, (_, at) => at * (size + 1));
  for (const at of diagonal) data[at] = data[at] || 1;
  const mean = diagonal.reduce((sum, at) => sum + (data[at] ?? 0), 0) / size;
  for (const at of diagonal) data[at] = (data[at] ?? 0) + damping * mean;
  const lower = cholesky({ rows: size, columns, data });
  if (!("data" in lower)) throw new Error(lower.reason);
  const inverse = cholesky(solveCholesky(lower, identity(size)));
  if (!("data" in inverse)) throw new Error(inverse.reason);
  return inverse.data;
}
