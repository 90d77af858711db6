import { isFloat, toFloat64 } from "../tensor/convert.ts";
import { sameDims } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";
import { isEndless } from "./mask-values.ts";

/**
 * The largest difference of two tensors, relative to the largest number of the first (or to 1, where all are smaller than 1e-6); of numbers
 * that stand for infinity relative to themselves. Infinite where types, dimensions, texts, infinities or NaN differ, or where integers do.
 * @param least what it is relative to at least: 1 for numbers that lie between 0 and 1 and are rounded in steps of that.
 */
export function difference(expected: Dense, got: Dense | undefined, least = 0): number {
  if (got === undefined || got.type !== expected.type || !sameDims(got.dims, expected.dims))
    return Number.POSITIVE_INFINITY;
  if (expected.type === "string" || got.type === "string" || !isFloat(expected.type)) {
    const [a, b] = [expected.data, got.data];
    for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return Number.POSITIVE_INFINITY;
    return 0;
  }
  const [a, b] = [toFloat64(expected), toFloat64(got)];
  const endlessly = isEndless(expected.type);
  let [largest, apart, apartAtEnd] = [0, 0, 0];
  for (let index = 0; index < a.length; index++) {
    const [x = 0, y = 0] = [a[index], b[index]];
    const isEnd = endlessly(x);
    if (Number.isFinite(x) && !isEnd) largest = Math.max(largest, Math.abs(x));
    if (Object.is(x, y) || x === y) continue;
    const gap = Math.abs(x - y);
    if (!Number.isFinite(gap)) return Number.POSITIVE_INFINITY;
    if (isEnd) apartAtEnd = Math.max(apartAtEnd, gap / Math.abs(x));
    else apart = Math.max(apart, gap);
  }
  return Math.max(apartAtEnd, apart / Math.max(least, largest < 1e-6 ? 1 : largest));
}
