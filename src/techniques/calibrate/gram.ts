import { type Matrix, type Multiply, matrix, multiplyInJs, transpose } from "../../core/math/matrix.ts";
import { addTo } from "../shared/normal-equations.ts";
import type { Features } from "./features.ts";
import type { Statistic } from "./statistic.ts";

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

/** Maximum number of rows per batch. Neighboring pixels are so similar that more rows add little. */
const maxRowsOf = (columns: number, groups: number): number =>
  Math.min(1024 + 2 * columns, groups > 1 ? 64 + 8 * columns : Number.POSITIVE_INFINITY);

/** @param isRounded whether products are computed in float32, which is faster; the sums over batches are in float64. */
const gramsOf = (isRounded: boolean): Statistic<Gram> => ({
  begin(multiply = multiplyInJs, multiplyTransposed) {
    const multiplyRows: Multiply =
      isRounded && multiplyTransposed !== undefined ? multiplyTransposed : (a, b) => multiply(transpose(a), b);
    const [groups, cross]: [Matrix[], Matrix[]] = [[], []];
    let rows = 0;
    let [batchRows, rowIndices] = [0, new Uint32Array() as Uint32Array];
    const add = (sums: Matrix[], group: number, product: Matrix): void => {
      const sum = sums[group];
      if (sum === undefined) sums[group] = matrix(product.rows, product.columns, product.data.slice());
      else addTo(sum, product);
    };
    return {
      async add(batch, original) {
        // Batches of one size share the indices, so that picked elements are found once.
        if (batch.rows !== batchRows) [batchRows, rowIndices] = [batch.rows, selectRows(batch)];
        for (let group = 0; group < batch.groups; group++) {
          const inputs = batch.matrix(group, rowIndices);
          add(groups, group, await multiplyRows(inputs, inputs));
          if (original !== undefined) add(cross, group, await multiplyRows(inputs, original.matrix(group, rowIndices)));
        }
        rows += rowIndices.length;
      },
      end: () => ({ rows, groups, ...(cross.length > 0 && { cross }) }),
    };
  },
});

/**
 * Gram matrices of layer inputs in float64, not centered, from evenly spaced rows of each batch.
 * @example
 * const seen = await calibrate(model, { data: calibration });
 * for (const layer of layers(model, infer(model))) await seen.collect(layer, gramMatrices);
 */
export const gramMatrices = gramsOf(false);
/** As `gramMatrices`, but in float32, which is precise enough if the diagonal is damped later. */
export const roundedGramMatrices = gramsOf(true);

function selectRows({ rows, columns, groups }: Features): Uint32Array {
  const count = Math.min(rows, maxRowsOf(columns, groups));
  return Uint32Array.from({ length: count }, (_, index) => Math.floor(((index + 0.5) * rows) / count));
}
