/**
 * Loops over stretches of flat arrays: what everything else in this folder spends its time in.
 *
 * Four independent sums, because an addition waits four cycles for the one before it.
 */

/** Σ a[i] b[i] over `count` elements from two offsets. */
export function dot(a: Float64Array, fromA: number, b: Float64Array, fromB: number, count: number): number {
  let p = 0;
  let q = 0;
  let r = 0;
  let s = 0;
  let index = 0;
  for (; index + 4 <= count; index += 4) {
    const i = fromA + index;
    const j = fromB + index;
    p += (a[i] ?? 0) * (b[j] ?? 0);
    q += (a[i + 1] ?? 0) * (b[j + 1] ?? 0);
    r += (a[i + 2] ?? 0) * (b[j + 2] ?? 0);
    s += (a[i + 3] ?? 0) * (b[j + 3] ?? 0);
  }
  for (; index < count; index++) p += (a[fromA + index] ?? 0) * (b[fromB + index] ?? 0);
  return p + q + (r + s);
}

/** y += factor · x over `count` elements. */
export function axpy(
  factor: number,
  x: Float64Array,
  fromX: number,
  y: Float64Array,
  fromY: number,
  count: number,
): void {
  for (let index = 0; index < count; index++) {
    y[fromY + index] = (y[fromY + index] ?? 0) + factor * (x[fromX + index] ?? 0);
  }
}

/**
 * (x, y) ← (c x - s y, s x + c y) over `count` elements of one array, given s and τ = s / (1 + c); the two may change places on the way.
 *
 * Written as x - s (y + τ x) and y + s (x - τ y), whose cosine 1 - s τ never rounds to 1 while s is not 0 (Rutishauser 1966): thousands
 * of small rotations one after the other then keep lengths, where c rounded each time would let them creep.
 */
export function rotate(
  data: Float64Array,
  fromX: number,
  fromY: number,
  toX: number,
  toY: number,
  count: number,
  sine: number,
  tau: number,
): void {
  for (let index = 0; index < count; index++) {
    const x = data[fromX + index] ?? 0;
    const y = data[fromY + index] ?? 0;
    data[toX + index] = x - sine * (y + tau * x);
    data[toY + index] = y + sine * (x - tau * y);
  }
}
