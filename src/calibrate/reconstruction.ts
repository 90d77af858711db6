import { type Matrix, multiplyHere, transpose } from "../math/index.ts";
import { addTo } from "../math/normal-equations.ts";
import type { Gram } from "./gram.ts";
import type { Features, Statistic } from "./statistic.ts";

/**
 * Compares a layer's outputs x̂ ŵ with those of the original, x w. The error of an output over all rows is
 *
 *     ‖P̂ ŵ − P w‖² = ŵᵀ G ŵ − 2 ŵᵀ C w + wᵀ (PᵀP) w,     G = P̂ᵀP̂,  C = P̂ᵀP
 */
export interface Reconstruction extends Gram {
  /** C of each group; undefined if the original is unknown. */
  readonly cross: readonly Matrix[] | undefined;
}

/** Number of rows used per batch: neighboring pixels are nearly redundant. */
const rowsFor = (columns: number): number => 2048 + 4 * columns;

export const reconstruction: Statistic<Reconstruction> = {
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
        const places = somePlaces(batch);
        for (let group = 0; group < batch.groups; group++) {
          const own = batch.matrix(group, places);
          const turned = transpose(own);
          add(groups, group, await multiply(turned, own));
          if (original !== undefined) add(cross, group, await multiply(turned, original.matrix(group, places)));
        }
        rows += places.length;
      },
      end: () => ({ rows, groups, cross: cross.length === 0 ? undefined : cross }),
    };
  },
};

function somePlaces({ rows, columns }: Features): Uint32Array {
  const count = Math.min(rows, rowsFor(columns));
  return Uint32Array.from({ length: count }, (_, at) => Math.floor(((at + 0.5) * rows) / count));
}
