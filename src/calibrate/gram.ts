import { type Matrix, multiplyHere, transpose } from "../math/index.ts";
import { addTo } from "../math/normal-equations.ts";
import type { Statistic } from "./statistic.ts";

export interface Gram {
  readonly rows: number;
  /** PᵀP of each group, columns × columns. */
  readonly groups: readonly Matrix[];
}

/**
 * Gram matrices PᵀP of features P, in float64: uncentered second moments of layer inputs.
 * @example
 * const seen = await calibrate(model, { data: calibration });
 * for (const layer of layers(model, infer(model))) await seen.collect(layer, gramMatrices());
 */
export function gramMatrices(): Statistic<Gram> {
  return {
    begin(multiply = multiplyHere) {
      const groups: Matrix[] = [];
      let rows = 0;
      return {
        async add(batch) {
          for (let group = 0; group < batch.groups; group++) {
            const own = batch.matrix(group);
            const product = await multiply(transpose(own), own);
            const sum = groups[group];
            if (sum === undefined) groups[group] = product;
            else addTo(sum, product);
          }
          rows += batch.rows;
        },
        end: () => ({ rows, groups }),
      };
    },
  };
}
