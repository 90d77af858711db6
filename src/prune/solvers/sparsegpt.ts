import { type Gram, gramMatrices } from "../../calibrate/gram.ts";
import type { MatrixMask, Pattern, Solver } from "../../calibrate/solver.ts";
import { surgeonsFor } from "../../calibrate/surgeons.ts";
import { type Matrix, matrix, operate, type Surgeon, type Surgery, sliceColumns } from "../../math/index.ts";

const none = matrix(0, 0);

/** Columns that are ranked together, as in the paper. */
const together = 128;

/**
 * SparseGPT (Frantar and Alistarh 2023): those entries go whose removal costs least, w² / U²ⱼⱼ (`math/obs.ts`), and the entries after them are corrected. Ranked
 * are 128 columns of all outputs together, as those before have left them; of a pattern n:m each m columns. Layer after layer, each on what the earlier ones have
 * become. It needs many more rows of inputs (samples, their places or tokens) than a layer has inputs.
 */
export const sparsegpt = {
  id: "sparsegpt",
  summary: "prune the least important weights, update the rest to compensate (optimal brain surgeon; needs samples)",
  evidence: gramMatrices(),
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

/** A pattern that says itself how much goes decides on each of its units alone. One that does not say what they are is asked once. */
function stepOf({ columns, share }: Pattern): number {
  if (columns === undefined) return Number.POSITIVE_INFINITY;
  return share === undefined ? Math.max(1, Math.floor(together / columns)) * columns : columns;
}

/** w² / U²ⱼⱼ of the columns from `from` on. */
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
