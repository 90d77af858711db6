/**
 * Element-wise training arithmetic in AssemblyScript; `npm run generate` compiles it per float type to `kernels.generated.ts`.
 *
 * Arrays are aligned and padded to whole vectors. Values below `tiny` count as zero: denormal numbers, which arise whenever
 * momentum decays, would take twenty times as long.
 */

/** f64 in the other module. */
type T = f32;

/** Products with learning rates down to 1e-8 are normal numbers. */
const tiny: f64 = sizeof<T>() === 8 ? 1e-290 : 1e-30;

/** For gradients that are squared: (1-β₂) times the square is a normal number. */
const tinyToSquare: f64 = sizeof<T>() === 8 ? 1e-150 : 1e-16;

const vector: usize = 16;

/** w -= rate·(g + decay·w) */
export function move(bytes: usize, w: usize, g: usize, rate: f64, decay: f64): void {
  const limit = fill(tiny);
  const rates = fill(rate);
  const decays = fill(decay);
  for (let i: usize = 0; i < bytes; i += vector) {
    const old = v128.load(w + i);
    const slope = flush(v128.add<T>(v128.load(g + i), v128.mul<T>(decays, old)), limit);
    v128.store(w + i, v128.sub<T>(old, v128.mul<T>(rates, slope)));
  }
}

/** v = momentum·v + g + decay·w; w -= rate·v */
export function roll(bytes: usize, w: usize, v: usize, g: usize, rate: f64, momentum: f64, decay: f64): void {
  const limit = fill(tiny);
  const rates = fill(rate);
  const momenta = fill(momentum);
  const decays = fill(decay);
  for (let i: usize = 0; i < bytes; i += vector) {
    const old = v128.load(w + i);
    const slope = flush(v128.add<T>(v128.load(g + i), v128.mul<T>(decays, old)), limit);
    const speed = flush(v128.add<T>(v128.mul<T>(momenta, v128.load(v + i)), slope), limit);
    v128.store(v + i, speed);
    v128.store(w + i, v128.sub<T>(old, v128.mul<T>(rates, speed)));
  }
}

/** d = g + added·w; m += rest1·(d - m); v += rest2·(d² - v); w -= rate·m / (√v·spread + epsilon) + decay·w */
export function adam(
  bytes: usize,
  w: usize,
  m: usize,
  v: usize,
  g: usize,
  rate: f64,
  rest1: f64,
  rest2: f64,
  spread: f64,
  epsilon: f64,
  added: f64,
  decay: f64,
): void {
  const limit = fill(tinyToSquare);
  const squareLimit = fill(tinyToSquare * tinyToSquare);
  const rates = fill(rate);
  const rests1 = fill(rest1);
  const rests2 = fill(rest2);
  const spreads = fill(spread);
  const epsilons = fill(epsilon);
  const addeds = fill(added);
  const decays = fill(decay);
  for (let i: usize = 0; i < bytes; i += vector) {
    const old = v128.load(w + i);
    const slope = flush(v128.add<T>(v128.load(g + i), v128.mul<T>(addeds, old)), limit);
    const first = flush(towards(v128.load(m + i), slope, rests1), limit);
    const second = flush(towards(v128.load(v + i), v128.mul<T>(slope, slope), rests2), squareLimit);
    v128.store(m + i, first);
    v128.store(v + i, second);
    const size = v128.add<T>(v128.mul<T>(v128.sqrt<T>(second), spreads), epsilons);
    const step = v128.div<T>(v128.mul<T>(rates, first), size);
    v128.store(w + i, v128.sub<T>(old, v128.add<T>(step, v128.mul<T>(decays, old))));
  }
}

/** w -= rate·sign(m + rest1·(g - m)) + decay·w; m += rest2·(g - m) */
export function lion(bytes: usize, w: usize, m: usize, g: usize, rate: f64, rest1: f64, rest2: f64, decay: f64): void {
  const limit = fill(tiny);
  const rates = fill(rate);
  const rests1 = fill(rest1);
  const rests2 = fill(rest2);
  const decays = fill(decay);
  for (let i: usize = 0; i < bytes; i += vector) {
    const old = v128.load(w + i);
    const mean = v128.load(m + i);
    const slope = flush(v128.load(g + i), limit);
    const step = v128.mul<T>(rates, sign(towards(mean, slope, rests1)));
    v128.store(w + i, v128.sub<T>(old, v128.add<T>(step, v128.mul<T>(decays, old))));
    v128.store(m + i, flush(towards(mean, slope, rests2), limit));
  }
}

/** x *= factor */
export function scale(bytes: usize, x: usize, factor: f64): void {
  const limit = fill(tiny);
  const factors = fill(factor);
  for (let i: usize = 0; i < bytes; i += vector)
    v128.store(x + i, v128.mul<T>(flush(v128.load(x + i), limit), factors));
}

/** Returns the sum of squares in float64: entries i, i+4, i+8, … separately, then (0 + 1) + (2 + 3). */
export function squares(bytes: usize, x: usize): f64 {
  const end = x + bytes;
  let a = 0.0;
  let b = 0.0;
  let c = 0.0;
  let d = 0.0;
  for (; x < end; x += 4 * sizeof<T>()) {
    a += square(x);
    b += square(x + sizeof<T>());
    c += square(x + 2 * sizeof<T>());
    d += square(x + 3 * sizeof<T>());
  }
  return a + b + (c + d);
}

function square(place: usize): f64 {
  const x = <f64>load<T>(place);
  return x * x;
}

function fill(x: f64): v128 {
  return v128.splat<T>(<T>x);
}

/** a + x·(b - a) */
function towards(a: v128, b: v128, x: v128): v128 {
  return v128.add<T>(a, v128.mul<T>(x, v128.sub<T>(b, a)));
}

/** Keeps zero and NaN. */
function sign(a: v128): v128 {
  const signedOne = v128.or(v128.and(a, fill(-0.0)), fill(1));
  return v128.bitselect(signedOne, a, v128.gt<T>(v128.abs<T>(a), fill(0)));
}

function flush(a: v128, limit: v128): v128 {
  return v128.andnot(a, v128.lt<T>(v128.abs<T>(a), limit));
}
