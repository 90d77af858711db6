import { type Matrix, multiplyHere, transpose } from "../../core/math/matrix.ts";
import { addTo } from "../shared/normal-equations.ts";
import type { Features, Statistic } from "./statistic.ts";

/**
 * Second moments of layer inputs P, which give the error of an output over all rows. With changed inputs P̂ and changed weights ŵ:
 *
 *     ‖P̂ ŵ − P w‖² = ŵᵀ G ŵ − 2 ŵᵀ C w + wᵀ (PᵀP) w,     G = P̂ᵀP̂,  C = P̂ᵀP
 */
export interface Gram {
  readonly rows: number;
  /** G of each group, columns × columns. */
  readonly groups: readonly Matrix[];
  /** C of each group, if the original is observed, too. */
  readonly cross?: readonly Matrix[];
}

/** Maximum number of rows per batch. Neighboring pixels are so similar that more rows add little. A group of few columns needs fewer. */
const maxRowsOf = (columns: number, groups: number): number =>
  Math.min(1024 + 2 * columns, groups > 1 ? 64 + 8 * columns : Number.POSITIVE_INFINITY);

/**
 * Gram matrices of layer inputs in float64, not centered, from evenly spaced rows of each batch.
 * @example
 * const seen = await calibrate(model, { data: calibration });
 * for (const layer of layers(model, infer(model))) await seen.collect(layer, gramMatrices);
 */
export const gramMatrices: Statistic<Gram> = {
  begin(multiply = multiplyHere) {
    const [groups, cross]: [Matrix[], Matrix[]] = [[], []];
    let rows = 0;
    const add = (sums: Matrix[], group: number, product: Matrix): void => {
      const sum = sums[group];
      if (sum === undefined) sums[group] = product;
      else addTo(sum, product);
    };
    return {
      async add(batch, original) {
        const rowIndices = selectRows(batch);
        for (let group = 0; group < batch.groups; group++) {
          const inputs = batch.matrix(group, rowIndices);
          const transposed = transpose(inputs);
          add(groups, group, await multiply(transposed, inputs));
          if (original !== undefined) add(cross, group, await multiply(transposed, original.matrix(group, rowIndices)));
        }
        rows += rowIndices.length;
      },
      end: () => ({ rows, groups, ...(cross.length > 0 && { cross }) }),
    };
  },
};

function selectRows({ rows, columns, groups }: Features): Uint32Array {
  const count = Math.min(rows, maxRowsOf(columns, groups));
  return Uint32Array.from({ length: count }, (_, index) => Math.floor(((index + 0.5) * rows) / count));
}
