/**
 * Detects numbers that are already on a grid: wᵢ = jᵢ · s with integers jᵢ. With m = max |wᵢ| = k · s, finds the lowest k for which
 *      wᵢ · k / m is an integer for all i,
 * up to the float32 rounding of wᵢ and m. For random numbers, the first one that is neither 0 nor m excludes every k, so few numbers are examined.
 */

/** The relative tolerance: half a unit in the last place of float32, for each number and for the maximum. */
const relativeTolerance = 2 ** -22;
/**
 * The maximum number of examined values: `maxPasses` complete passes plus `maxExtraValues` values. The limit matters for
 * sparse numbers, where each k could need a pass.
 */
const [maxPasses, maxExtraValues] = [8, 1000];

/**
 * Returns the lowest k ≤ `most` for which all numbers are integer multiples of the largest magnitude divided by k. Returns 0 if there is none, or if
 * all numbers are 0. The numbers are `outer` runs of `inner` elements, `stride` apart. Allocates no objects, because blocks call it millions of
 * times.
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
  let budget = maxPasses * outer * inner + maxExtraValues;
  for (let steps = 1; steps <= most; steps++) {
    if (!isWhole(first * steps)) continue;
    const examined = countUntilFraction(values, from, outer, stride, inner, steps / largest);
    if (examined === outer * inner) return steps;
    budget -= examined;
    if (budget < 0) return 0;
  }
  return 0;
}

/** Returns the number of values before the first one that is not an integer multiple; all of them if there is none. */
function countUntilFraction(
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
  return Math.abs(number - nearest) <= relativeTolerance * Math.abs(nearest);
}

/** Returns the largest power of two by which each step can be divided so that at most `most` steps result. Quantized values stay exact. */
export function cutsOf(steps: number, most: number): number {
  return 2 ** Math.floor(Math.log2(most / steps));
}
