/** Reduces the rows of a metric: to their mean, or to sums of columns. */
import { moments } from "../../core/math/confidence-interval.ts";
import type { Metric } from "./metric.ts";

export function averageRows(metric: Omit<Metric, "columns" | "reduce">): Metric {
  return { interval: "mean", ...metric, columns: 1, reduce: (rows) => moments(rows).mean };
}

export function columnSums(rows: Float64Array, columns: number): Float64Array {
  const sums = new Float64Array(columns);
  for (let index = 0; index < rows.length; index++)
    sums[index % columns] = (sums[index % columns] ?? 0) + (rows[index] ?? 0);
  return sums;
}
