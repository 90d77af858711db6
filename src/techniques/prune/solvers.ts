/** The table of pruning solvers. Its keys are the values of the option `solver` in flags, help and recipes. */
import { type Matrix, matrix, sliceColumns } from "../../core/math/matrix.ts";
import { type Gram, gramMatrices } from "../calibrate/gram.ts";
import { computeInverseHessians } from "../calibrate/inverse-hessians.ts";
import type { MatrixMask, Pattern, Solver } from "../calibrate/solver.ts";
import { methodTable } from "../shared/methods.ts";
import { type ColumnUpdate, type InverseHessian, updateColumns } from "../shared/optimal-brain-surgeon.ts";

/** Number of columns that are ranked together, as in the paper. */
const blockSize = 128;

/**
 * SparseGPT (Frantar and Alistarh 2023): prunes entries with the lowest cost w² / U²ⱼⱼ (`shared/optimal-brain-surgeon.ts`) and corrects later
 * columns. Requires many more rows of inputs than a layer has inputs.
 */
const sparsegpt = {
  id: "sparsegpt",
  summary: "prune the least important weights, update the rest to compensate (optimal brain surgeon; needs samples)",
  evidence: gramMatrices,
  of: "changed",
  async prune(weights, kept, { pattern, amount }, { evidence, layer, multiply }) {
    const inverses = await computeInverseHessians(layer, evidence.groups, multiply);
    const masks = weights.map(({ rows, columns }, group) =>
      matrix(rows, columns, Float64Array.from(kept[group] ?? [])),
    );
    const update: ColumnUpdate = {
      step: stepOf(pattern),
      visit(columns, from) {
        const scores = inverses.map((inverse, group) => costs(columns[group] ?? matrix(0, 0), inverse, from));
        const to = from + (columns[0]?.columns ?? 0);
        const currentMasks = masks.map((mask) => Uint8Array.from(sliceColumns(mask, from, to).data));
        const chosenMasks = pattern.choose(scores, currentMasks, amount);
        for (const [group, mask] of masks.entries()) writeColumns(chosenMasks[group] ?? new Uint8Array(), mask, from);
      },
      project: (group, row, column, value) =>
        masks[group]?.data[row * (masks[group]?.columns ?? 0) + column] === 1 ? value : 0,
    };
    const correctedWeights = await updateColumns(weights, inverses, update, multiply);
    return { weights: correctedWeights, kept: masks.map(({ data }) => Uint8Array.from(data)) };
  },
} satisfies Solver<Gram>;

const table = { sparsegpt };

export const solvers = methodTable<Solver, keyof typeof table>(table, {
  kind: "a solver",
  does: "prune",
  title: "Solvers (--solver)",
});

/** Returns the number of columns per update. */
function stepOf({ columns, share }: Pattern): number {
  if (columns === undefined) return Number.POSITIVE_INFINITY;
  return share === undefined ? Math.max(1, Math.floor(blockSize / columns)) * columns : columns;
}

/** Returns w² / U²ⱼⱼ of the columns from `from` on. */
function costs({ rows, columns, data }: Matrix, { upper }: InverseHessian, from: number): Matrix {
  const pivot = (column: number): number => upper.data[(from + column) * (upper.columns + 1)] ?? 1;
  const scores = data.map((w, index) => (w / pivot(index % columns)) ** 2);
  return matrix(rows, columns, scores);
}

function writeColumns(chosenMask: MatrixMask, target: Matrix, from: number): void {
  const width = chosenMask.length / Math.max(1, target.rows);
  for (let row = 0; row < target.rows; row++)
    target.data.set(chosenMask.subarray(row * width, (row + 1) * width), row * target.columns + from);
}
