/**
 * Detects numbers that are on a grid already: w_i = j_i · s with integer j_i. With m = max |w_i| = k · s, search the least k for which
 *      w_i · k / m is an integer for all i        up to the rounding of w_i and m to float32
 * For random numbers, the first one that is neither 0 nor m fails for every k, so few are examined.
 */

/** Half a unit in the last place of float32, for an operand and for the maximum. */
const relative = 2 ** -22;
/** The maximum number of complete passes, plus partial ones: each k could need a pass for sparse numbers. */
const [maxPasses, more] = [8, 1000];

/**
 * Returns the least k ≤ `most` for which all numbers are integer multiples of the largest magnitude over k; 0 if there is none, or all are 0.
 * The numbers are `outer` runs of `inner`, `stride` apart. Allocates no objects, because blocks call it millions of times.
 */
export function commonSteps(
  values: ArrayLike<number>,
  from: number,
  outer: number,
  stride: number,
  inner: number,
  largest: number,
  most: number,
): number {
  if (largest === 0 || !Number.isFinite(largest)) return 0;
  let first = 1;
  for (let block = 0, start = from; block < outer && first === 1; block++, start += stride)
    for (let at = start; at < start + inner && first === 1; at++) {
      const share = Math.abs(values[at] ?? 0) / largest;
      if (share !== 0) first = share;
    }
  let budget = maxPasses * outer * inner + more;
  for (let steps = 1; steps <= most; steps++) {
    if (!isWhole(first * steps)) continue;
    const looked = lookedUntilPart(values, from, outer, stride, inner, steps / largest);
    if (looked === outer * inner) return steps;
    budget -= looked;
    if (budget < 0) return 0;
  }
  return 0;
}

function lookedUntilPart(
  values: ArrayLike<number>,
  from: number,
  outer: number,
  stride: number,
  inner: number,
  factor: number,
): number {
  for (let block = 0, start = from; block < outer; block++, start += stride)
    for (let at = start; at < start + inner; at++)
      if (!isWhole((values[at] ?? 0) * factor)) return block * inner + at - start;
  return outer * inner;
}

function isWhole(number: number): boolean {
  const nearest = Math.round(number);
  return Math.abs(number - nearest) <= relative * Math.abs(nearest);
}

/** Returns the largest power of two that divides steps further, up to `most`: quantized values stay exact, and sums get finer. */
export function cutsOf(steps: number, most: number): number {
  return 2 ** Math.floor(Math.log2(most / steps));
}
