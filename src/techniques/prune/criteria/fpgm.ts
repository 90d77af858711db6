import type { Importance } from "./criterion.ts";

/**
 * Sum of distances to all other filters of the layer: a filter near the geometric median can be replaced by others (He et al.
 * 2019, "Filter Pruning via Geometric Median").
 */
export const fpgm = {
  id: "fpgm",
  summary: "sum of the distances to all other filters of the layer",
  units: ({ mean }) =>
    mean("layers", ({ rows }) => {
      const filters = rows();
      const sums = new Float64Array(filters.length);
      for (const [a, filter] of filters.entries())
        for (const [b, other] of filters.slice(0, a).entries()) {
          let squares = 0;
          for (let at = 0; at < filter.length; at++) squares += ((filter[at] ?? 0) - (other[at] ?? 0)) ** 2;
          const distance = Math.sqrt(squares);
          sums[a] = (sums[a] ?? 0) + distance;
          sums[b] = (sums[b] ?? 0) + distance;
        }
      return sums;
    }),
} satisfies Importance;
