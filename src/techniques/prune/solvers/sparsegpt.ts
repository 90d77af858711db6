import { type Matrix, matrix, operate, type Surgeon, type Surgery, sliceColumns } from "../../../core/math/index.ts";
import { type Gram, gramMatrices } from "../../calibrate/gram.ts";
import type { MatrixMask, Pattern, Solver } from "../../calibrate/solver.ts";
import { surgeonsFor } from "../../calibrate/surgeons.ts";

const none = matrix(0, 0);

/** Columns ranked together, as in the paper. */
const together = 128;

/**
 * SparseGPT (Frantar and Alistarh 2023): prunes entries with the lowest cost w² / U²ⱼⱼ (`core/math/optimal-brain-surgeon.ts`) and corrects later
 * columns, in blocks of 128 columns over all outputs, or m columns for n:m. Layers are processed in order on changed inputs.
 * Requires many more rows of inputs than a layer has inputs.
 */
export const sparsegpt = {
  id: "sparsegpt",
  summary: "prune the least important weights, update the rest to compensate (optimal brain surgeon; needs samples)",
  evidence: gramMatrices,
  of: "changed",
  async prune(weights, kept, { pattern, amount }, { evidence, layer, multiply }) {
    const surgeons = await surgeonsFor(layer, evidence.groups, multiply);
    const left = weights.map(({ rows, columns }, group) => matrix(rows, columns, Float64Array.from(kept[group] ?? [])));
    const surgery: Surgery = {
      step: stepOf(pattern),
      look(columns, from) {
        const scores = surgeons.map((surgeon, group) => costs(columns[group] ?? none, surgeon, from));
        const to = from + (columns[0]?.columns ?? 0);
        const own = left.map((mask) => Uint8Array.from(sliceColumns(mask, from, to).data));
        const chosen = pattern.choose(scores, own, amount);
        for (const [group, mask] of left.entries()) write(chosen[group] ?? new Uint8Array(), mask, from);
      },
      becomes: (group, row, column, value) =>
        left[group]?.data[row * (left[group]?.columns ?? 0) + column] === 1 ? value : 0,
    };
    const corrected = await operate(weights, surgeons, surgery, multiply);
    return { weights: corrected, kept: left.map(({ data }) => Uint8Array.from(data)) };
  },
} satisfies Solver<Gram>;

/** Patterns with a fixed share decide per unit. Patterns without columns are asked once. */
function stepOf({ columns, share }: Pattern): number {
  if (columns === undefined) return Number.POSITIVE_INFINITY;
  return share === undefined ? Math.max(1, Math.floor(together / columns)) * columns : columns;
}

/** Returns w² / U²ⱼⱼ of the columns from `from` on. */
function costs({ rows, columns, data }: Matrix, { upper }: Surgeon, from: number): Matrix {
  const pivots = Float64Array.from({ length: columns }, (_, at) => upper.data[(from + at) * (upper.columns + 1)] ?? 1);
  return matrix(
    rows,
    columns,
    data.map((w, at) => (w / (pivots[at % columns] ?? 1)) ** 2),
  );
}

function write(chosen: MatrixMask, into: Matrix, from: number): void {
  const width = chosen.length / Math.max(1, into.rows);
  for (let row = 0; row < into.rows; row++)
    into.data.set(chosen.subarray(row * width, (row + 1) * width), row * into.columns + from);
}
