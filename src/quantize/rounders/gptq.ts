import { type Gram, gramMatrices } from "../../calibrate/gram.ts";
import type { Solver } from "../../calibrate/solver.ts";
import { surgeonsFor } from "../../calibrate/surgeons.ts";
import { type Matrix, matrix, operate } from "../../math/index.ts";
import { nearestCode } from "../grid.ts";
import { mse } from "./mse.ts";

/**
 * GPTQ (Frantar et al. 2022): column by column, what rounding takes from the answers of a layer the columns after it make good (`math/obs.ts`). Columns that see
 * most come first (act-order); scales are found before, of columns as they lie (static groups), and stay. A number that is exactly 0 stays 0: a pruned network stays
 * pruned, and what is left of it takes over the errors (joint with SparseGPT, §3.5 of Frantar and Alistarh 2023).
 */
export const gptq = {
  id: "gptq",
  summary: "numbers make good what rounding those before them took (optimal brain surgeon; needs samples)",
  evidence: gramMatrices(),
  of: "changed",
  scales: mse.scales,
  async codes({ matrices, sliceAt }, grid, { evidence: { groups }, layer, multiply }) {
    const orders = groups.map(mostSeenFirst);
    const orderOf = (group: number): Uint32Array => orders[group] ?? new Uint32Array();
    const surgeons = await surgeonsFor(
      layer,
      groups.map((gram, group) => inOrder(gram, orderOf(group), orderOf(group))),
      multiply,
    );
    const codes = matrices.map(({ rows, columns }) => matrix(rows, columns));
    await operate(
      matrices.map((weight, group) => inOrder(weight, undefined, orderOf(group))),
      surgeons,
      {
        becomes(group, row, place, value) {
          const [own, column] = [codes[group], orderOf(group)[place] ?? 0];
          const at = row * (own?.columns ?? 0) + column;
          const slice = sliceAt(group, row, column);
          const zero = grid.zeroPoint[slice] ?? 0;
          const code = matrices[group]?.data[at] === 0 ? zero : nearestCode(grid, slice, value);
          if (own !== undefined) own.data[at] = code;
          return (code - zero) * (grid.scale[slice] ?? 0);
        },
      },
      multiply,
    );
    return codes;
  },
} satisfies Solver<Gram>;

/** Places of the diagonal, the largest first. */
function mostSeenFirst({ rows, data }: Matrix): Uint32Array {
  const seen = (at: number): number => data[at * (rows + 1)] ?? 0;
  return Uint32Array.from({ length: rows }, (_, at) => at).sort((a, b) => seen(b) - seen(a) || a - b);
}

function inOrder({ rows, columns, data }: Matrix, down: Uint32Array | undefined, across: Uint32Array): Matrix {
  const moved = matrix(rows, columns);
  for (let row = 0; row < rows; row++) {
    const from = (down?.[row] ?? row) * columns;
    for (let column = 0; column < columns; column++)
      moved.data[row * columns + column] = data[from + (across[column] ?? 0)] ?? 0;
  }
  return moved;
}
