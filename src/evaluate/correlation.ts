/** How well two series follow each other: Pearson's correlation, and Spearman's, which is Pearson's of the ranks. */
import { Miss, PithError } from "../errors.ts";

/** Ranks from 1; equal values share the mean of their ranks. */
export function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from({ length: values.length }, (_, index) => index);
  order.sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0));
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    const value = values[order[start] ?? 0];
    let end = start + 1;
    while (end < order.length && values[order[end] ?? 0] === value) end++;
    for (let place = start; place < end; place++) result[order[place] ?? 0] = (start + 1 + end) / 2;
    start = end;
  }
  return result;
}

/** Pearson's correlation; a Miss where one series is constant. */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>): number | Miss {
  if (x.length !== y.length)
    throw new PithError("E_DATA", `A correlation needs pairs: got ${x.length} and ${y.length} values.`);
  const meanX = mean(x);
  const meanY = mean(y);
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let index = 0; index < x.length; index++) {
    const dx = (x[index] ?? 0) - meanX;
    const dy = (y[index] ?? 0) - meanY;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return xx === 0 || yy === 0 ? new Miss("a constant has no correlation") : xy / Math.sqrt(xx * yy);
}

/** Spearman's rank correlation, ties shared; a Miss where one series is constant or holds NaN. */
export function spearman(x: ArrayLike<number>, y: ArrayLike<number>): number | Miss {
  if ([x, y].some((values) => Array.prototype.some.call(values, Number.isNaN))) return new Miss("NaN has no rank");
  return pearson(ranks(x), ranks(y));
}

function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += values[index] ?? 0;
  return sum / values.length;
}
