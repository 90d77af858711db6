/**
 * Detects weights that are already quantized: wᵢ = jᵢ · s with integers jᵢ and a common step s. With m = max |wᵢ|, finds the lowest k for which
 *      wᵢ · k / m is an integer for all i,
 * up to the float32 rounding of wᵢ and m; the step is m / k.
 */

/** The relative tolerance: twice 2⁻²³, because rounding wᵢ and m to float32 changes each by at most 2⁻²⁴ of its magnitude. */
const relativeTolerance = 2 ** -22;
/** Maximum number of tests: `maxPasses` times the number of values, plus `maxExtraValues`. */
const [maxPasses, maxExtraValues] = [8, 1000];

/**
 * Returns the lowest k ≤ `maxSteps` for which all values are multiples of `largest` / k, or 0. Avoids objects as parameters, because it runs
 * millions of times. @param outer number of runs of `inner` consecutive values, which start `stride` apart.
 */
export function commonSteps(
  values: ArrayLike<number>,
  from: number,
  outer: number,
  stride: number,
  inner: number,
  largest: number,
  maxSteps: number,
): number {
  if (largest === 0 || !Number.isFinite(largest)) return 0;
  let firstShare = 1;
  for (let block = 0, start = from; block < outer && firstShare === 1; block++, start += stride)
    for (let at = start; at < start + inner && firstShare === 1; at++) {
      const share = Math.abs(values[at] ?? 0) / largest;
      if (share !== 0) firstShare = share;
    }
  let budget = maxPasses * outer * inner + maxExtraValues;
  for (let steps = 1; steps <= maxSteps; steps++) {
    if (!isNearInteger(firstShare * steps)) continue;
    const examinedCount = countUntilFraction(values, from, outer, stride, inner, steps / largest);
    if (examinedCount === outer * inner) return steps;
    budget -= examinedCount;
    if (budget < 0) return 0;
  }
  return 0;
}

/** Returns the number of values before the first value that is not an integer multiple of 1 / `factor`. */
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
      if (!isNearInteger((values[at] ?? 0) * factor)) return block * inner + at - start;
  return outer * inner;
}

function isNearInteger(number: number): boolean {
  const nearest = Math.round(number);
  return Math.abs(number - nearest) <= relativeTolerance * Math.abs(nearest);
}

/** Returns the largest power of two by which a step can be divided so that at most `maxSteps` steps reach the largest magnitude. */
export function subdivisionOf(steps: number, maxSteps: number): number {
  return 2 ** Math.floor(Math.log2(maxSteps / steps));
}
