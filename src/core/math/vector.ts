/** Products, sums and rotations of vectors that are ranges of float64 arrays. */

/** Σ a[i] b[i] over `count` elements, in four independent sums: each addition waits for the previous one. */
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

/** y += factor · x. */
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

/** out[r] = (row r of `a`) · x for `rows` rows that start `stride` apart: four at a time, to read x less often. */
export function dotRows(
  a: Float64Array,
  fromA: number,
  stride: number,
  rows: number,
  x: Float64Array,
  fromX: number,
  out: Float64Array,
  fromOut: number,
  count: number,
): void {
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    let i = fromA + row * stride;
    let j = i + stride;
    let k = j + stride;
    let l = k + stride;
    let p = 0;
    let q = 0;
    let r = 0;
    let s = 0;
    for (let at = fromX; at < fromX + count; at++, i++, j++, k++, l++) {
      const value = x[at] ?? 0;
      p += (a[i] ?? 0) * value;
      q += (a[j] ?? 0) * value;
      r += (a[k] ?? 0) * value;
      s += (a[l] ?? 0) * value;
    }
    out[fromOut + row] = p;
    out[fromOut + row + 1] = q;
    out[fromOut + row + 2] = r;
    out[fromOut + row + 3] = s;
  }
  for (; row < rows; row++) out[fromOut + row] = dot(a, fromA + row * stride, x, fromX, count);
}

/** out += Σ x[r] · (row r of `a`), for `rows` rows of `count` elements that start `stride` apart. */
export function addRows(
  a: Float64Array,
  fromA: number,
  stride: number,
  rows: number,
  x: Float64Array,
  fromX: number,
  out: Float64Array,
  fromOut: number,
  count: number,
): void {
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    const p = x[fromX + row] ?? 0;
    const q = x[fromX + row + 1] ?? 0;
    const r = x[fromX + row + 2] ?? 0;
    const s = x[fromX + row + 3] ?? 0;
    let i = fromA + row * stride;
    let j = i + stride;
    let k = j + stride;
    let l = k + stride;
    for (let at = fromOut; at < fromOut + count; at++, i++, j++, k++, l++) {
      out[at] = (out[at] ?? 0) + (p * (a[i] ?? 0) + q * (a[j] ?? 0) + (r * (a[k] ?? 0) + s * (a[l] ?? 0)));
    }
  }
  for (; row < rows; row++) axpy(x[fromX + row] ?? 0, a, fromA + row * stride, out, fromOut, count);
}

/**
 * Rotates (x, y) ← (c x − s y, s x + c y) in one array, given the sine s and τ = s / (1 + c), as x − s (y + τ x) and y + s (x − τ y). This preserves
 * lengths, because the cosine 1 − s τ never rounds to 1 for nonzero s (Rutishauser 1966).
 */
export function rotate(
  data: Float64Array,
  fromX: number,
  fromY: number,
  count: number,
  sine: number,
  tau: number,
): void {
  for (let index = 0; index < count; index++) {
    const x = data[fromX + index] ?? 0;
    const y = data[fromY + index] ?? 0;
    data[fromX + index] = x - sine * (y + tau * x);
    data[fromY + index] = y + sine * (x - tau * y);
  }
}
