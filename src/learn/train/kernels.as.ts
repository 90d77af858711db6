/**
 * Steps of the optimizers in AssemblyScript with SIMD. `npm run generate` compiles them for each float type to `kernels.generated.ts`.
 * Arrays are addresses of whole vectors. Values below `tiny` count as zero: denormal numbers, which arise when momentum decays,
 * would take twenty times as long.
 */

/** f64 in the second module. */
type T = f32;

/** Products with learning rates down to 1e-8 are normal numbers. */
const tiny: f64 = sizeof<T>() === 8 ? 1e-290 : 1e-30;

/** For gradients that are squared: (1-β₂) times the square is a normal number. */
const tinyToSquare: f64 = sizeof<T>() === 8 ? 1e-150 : 1e-16;

const vector: usize = 16;

/** w -= rate·(g + decay·w) */
export function descend(bytes: usize, w: usize, g: usize, rate: f64, decay: f64): void {
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
export function descendWithMomentum(
  bytes: usize,
  w: usize,
  v: usize,
  g: usize,
  rate: f64,
  momentum: f64,
  decay: f64,
): void {
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

/** d = g + coupled·w; m += meanShare·(d - m); v += squareShare·(d² - v); w -= rate·m / (√v·spread + epsilon) + decoupled·w */
export function adam(
  bytes: usize,
  w: usize,
  m: usize,
  v: usize,
  g: usize,
  rate: f64,
  meanShare: f64,
  squareShare: f64,
  spread: f64,
  epsilon: f64,
  coupled: f64,
  decoupled: f64,
): void {
  const limit = fill(tinyToSquare);
  const squareLimit = fill(tinyToSquare * tinyToSquare);
  const rates = fill(rate);
  const meanShares = fill(meanShare);
  const squareShares = fill(squareShare);
  const spreads = fill(spread);
  const epsilons = fill(epsilon);
  const coupledDecays = fill(coupled);
  const decoupledDecays = fill(decoupled);
  for (let i: usize = 0; i < bytes; i += vector) {
    const old = v128.load(w + i);
    const slope = v128.add<T>(v128.load(g + i), v128.mul<T>(coupledDecays, old));
    const mean = flush(approach(v128.load(m + i), slope, meanShares), limit);
    const square = flush(approach(v128.load(v + i), v128.mul<T>(slope, slope), squareShares), squareLimit);
    v128.store(m + i, mean);
    v128.store(v + i, square);
    const size = v128.add<T>(v128.mul<T>(v128.sqrt<T>(square), spreads), epsilons);
    const step = v128.div<T>(v128.mul<T>(rates, mean), size);
    v128.store(w + i, v128.sub<T>(old, v128.add<T>(step, v128.mul<T>(decoupledDecays, old))));
  }
}

function fill(x: f64): v128 {
  return v128.splat<T>(<T>x);
}

/** a + share·(b - a) */
function approach(a: v128, b: v128, share: v128): v128 {
  return v128.add<T>(a, v128.mul<T>(share, v128.sub<T>(b, a)));
}

function flush(a: v128, limit: v128): v128 {
  return v128.andnot(a, v128.lt<T>(v128.abs<T>(a), limit));
}
