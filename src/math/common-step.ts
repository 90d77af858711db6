/**
 * Numbers that lie on a grid already, as those of a network on integers do: w_i = j_i · s with whole j_i. With m = max |w_i| = k · s it is enough
 * to look for the least k, since every such s is m / k:
 *
 *     w_i · k / m is whole for all i        up to the rounding of w_i and m to float32
 *
 * Of numbers drawn at random the first one that is neither 0 nor m fails for every k, so that few are looked at.
 */

/** Of float32: an operand and the largest number are rounded, each by half a unit in the last place. */
const relative = 2 ** -22;
/** At most so many passes over all numbers, and so many more over a few: of sparse numbers each k could need a pass. */
const [mostLooks, more] = [8, 1000];

/**
 * The least k ≤ `most` for which all numbers are whole multiples of the largest magnitude over k; 0 where there is none, or all are 0. They lie
 * from `from` on in `outer` stretches of `inner` in a row, each `stride` after the one before. Without objects: blocks ask it by the million.
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
  let left = mostLooks * outer * inner + more;
  for (let steps = 1; steps <= most; steps++) {
    if (!isWhole(first * steps)) continue;
    const looked = lookedUntilPart(values, from, outer, stride, inner, steps / largest);
    if (looked === outer * inner) return steps;
    left -= looked;
    if (left < 0) return 0;
  }
  return 0;
}

/** How many numbers come before the first that is not whole once it is multiplied. */
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
  const whole = Math.round(number);
  return Math.abs(number - whole) <= relative * Math.abs(whole);
}

/** The largest power of two by which so many steps can be cut into more, up to `most`: codes stay exact, and sums of them count finer. */
export function cutsOf(steps: number, most: number): number {
  return 2 ** Math.floor(Math.log2(most / steps));
}
