/**
 * What a training does to each entry of its arrays, in AssemblyScript: `npm run generate` compiles it, with SIMD and without, to
 * `kernels.generated.ts`.
 *
 * A formula is written once, over V: four float32 in a `v128`, those that are left one by one, or float64, which few networks have. No entry depends
 * on another, and WebAssembly rounds as IEEE 754 says: with SIMD and without, the bits are the same. What is smaller than `tiny` counts as zero:
 * denormal numbers, which arise wherever momentum dies away, would take twenty times as long.
 */

/** Its products with learning rates down to 1e-8 are normal numbers. */
function tiny<V>(): f64 {
  return sizeof<V>() === 8 ? 1e-290 : 1e-30;
}

/** For gradients that are squared: so are (1-β₂) times its square. */
function tinyToSquare<V>(): f64 {
  return sizeof<V>() === 8 ? 1e-150 : 1e-16;
}

/** Bytes of an element. */
function size<V>(): usize {
  return sizeof<V>() === 8 ? 8 : 4;
}

/** w -= rate·(g + decay·w) */
export function move(wide: bool, count: usize, w: usize, g: usize, rate: f64, decay: f64): void {
  if (wide) moveAs<f64>(count, w, g, rate, decay);
  else moveAs<f32>(count, w, g, rate, decay);
}

function moveAs<V>(count: usize, w: usize, g: usize, rate: f64, decay: f64): usize {
  const end = count * size<V>();
  const limit = fill<V>(tiny<V>());
  const rates = fill<V>(rate);
  const decays = fill<V>(decay);
  let i: usize = 0;
  if (ASC_FEATURE_SIMD && sizeof<V>() === 4) i = moveAs<v128>(count, w, g, rate, decay);
  for (; i + sizeof<V>() <= end; i += sizeof<V>()) {
    const old = get<V>(w + i);
    const slope = flush<V>(add<V>(get<V>(g + i), mul<V>(decays, old)), limit);
    put<V>(w + i, sub<V>(old, mul<V>(rates, slope)));
  }
  return i;
}

/** d = g + decay·w; v = momentum·v + d; w -= straight·d + rate·v */
export function roll(
  wide: bool,
  count: usize,
  w: usize,
  v: usize,
  g: usize,
  straight: f64,
  rate: f64,
  momentum: f64,
  decay: f64,
): void {
  if (wide) rollAs<f64>(count, w, v, g, straight, rate, momentum, decay);
  else rollAs<f32>(count, w, v, g, straight, rate, momentum, decay);
}

function rollAs<V>(
  count: usize,
  w: usize,
  v: usize,
  g: usize,
  straight: f64,
  rate: f64,
  momentum: f64,
  decay: f64,
): usize {
  const end = count * size<V>();
  const limit = fill<V>(tiny<V>());
  const rates = fill<V>(rate);
  const straights = fill<V>(straight);
  const momenta = fill<V>(momentum);
  const decays = fill<V>(decay);
  let i: usize = 0;
  if (ASC_FEATURE_SIMD && sizeof<V>() === 4) i = rollAs<v128>(count, w, v, g, straight, rate, momentum, decay);
  for (; i + sizeof<V>() <= end; i += sizeof<V>()) {
    const old = get<V>(w + i);
    const slope = flush<V>(add<V>(get<V>(g + i), mul<V>(decays, old)), limit);
    const speed = flush<V>(add<V>(mul<V>(momenta, get<V>(v + i)), slope), limit);
    put<V>(v + i, speed);
    put<V>(w + i, sub<V>(old, add<V>(mul<V>(straights, slope), mul<V>(rates, speed))));
  }
  return i;
}

/** d = g + added·w; m += rest1·(d - m); v += rest2·(d² - v); w -= rate·m / (√v·spread + epsilon) + decay·w */
export function adam(
  wide: bool,
  count: usize,
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
  if (wide) adamAs<f64>(count, w, m, v, g, rate, rest1, rest2, spread, epsilon, added, decay);
  else adamAs<f32>(count, w, m, v, g, rate, rest1, rest2, spread, epsilon, added, decay);
}

function adamAs<V>(
  count: usize,
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
): usize {
  const end = count * size<V>();
  const limit = fill<V>(tinyToSquare<V>());
  const squareLimit = fill<V>(tinyToSquare<V>() * tinyToSquare<V>());
  const rates = fill<V>(rate);
  const rests1 = fill<V>(rest1);
  const rests2 = fill<V>(rest2);
  const spreads = fill<V>(spread);
  const epsilons = fill<V>(epsilon);
  const addeds = fill<V>(added);
  const decays = fill<V>(decay);
  let i: usize = 0;
  if (ASC_FEATURE_SIMD && sizeof<V>() === 4)
    i = adamAs<v128>(count, w, m, v, g, rate, rest1, rest2, spread, epsilon, added, decay);
  for (; i + sizeof<V>() <= end; i += sizeof<V>()) {
    const old = get<V>(w + i);
    const slope = flush<V>(add<V>(get<V>(g + i), mul<V>(addeds, old)), limit);
    const first = flush<V>(towards<V>(get<V>(m + i), slope, rests1), limit);
    const second = flush<V>(towards<V>(get<V>(v + i), mul<V>(slope, slope), rests2), squareLimit);
    put<V>(m + i, first);
    put<V>(v + i, second);
    const step = div<V>(mul<V>(rates, first), add<V>(mul<V>(root<V>(second), spreads), epsilons));
    put<V>(w + i, sub<V>(old, add<V>(step, mul<V>(decays, old))));
  }
  return i;
}

/** w -= rate·sign(m + rest1·(g - m)) + decay·w; m += rest2·(g - m) */
export function lion(
  wide: bool,
  count: usize,
  w: usize,
  m: usize,
  g: usize,
  rate: f64,
  rest1: f64,
  rest2: f64,
  decay: f64,
): void {
  if (wide) lionAs<f64>(count, w, m, g, rate, rest1, rest2, decay);
  else lionAs<f32>(count, w, m, g, rate, rest1, rest2, decay);
}

function lionAs<V>(count: usize, w: usize, m: usize, g: usize, rate: f64, rest1: f64, rest2: f64, decay: f64): usize {
  const end = count * size<V>();
  const limit = fill<V>(tiny<V>());
  const rates = fill<V>(rate);
  const rests1 = fill<V>(rest1);
  const rests2 = fill<V>(rest2);
  const decays = fill<V>(decay);
  let i: usize = 0;
  if (ASC_FEATURE_SIMD && sizeof<V>() === 4) i = lionAs<v128>(count, w, m, g, rate, rest1, rest2, decay);
  for (; i + sizeof<V>() <= end; i += sizeof<V>()) {
    const old = get<V>(w + i);
    const mean = get<V>(m + i);
    const slope = flush<V>(get<V>(g + i), limit);
    const step = mul<V>(rates, sign<V>(towards<V>(mean, slope, rests1)));
    put<V>(w + i, sub<V>(old, add<V>(step, mul<V>(decays, old))));
    put<V>(m + i, flush<V>(towards<V>(mean, slope, rests2), limit));
  }
  return i;
}

/** x *= factor */
export function scale(wide: bool, count: usize, x: usize, factor: f64): void {
  if (wide) scaleAs<f64>(count, x, factor);
  else scaleAs<f32>(count, x, factor);
}

function scaleAs<V>(count: usize, x: usize, factor: f64): usize {
  const end = count * size<V>();
  const limit = fill<V>(tiny<V>());
  const factors = fill<V>(factor);
  let i: usize = 0;
  if (ASC_FEATURE_SIMD && sizeof<V>() === 4) i = scaleAs<v128>(count, x, factor);
  for (; i + sizeof<V>() <= end; i += sizeof<V>()) put<V>(x + i, mul<V>(flush<V>(get<V>(x + i), limit), factors));
  return i;
}

/** The sum of all squares, in float64: entries i, i+4, i+8, … are added up each by themselves, then (0 + 1) + (2 + 3). */
export function squares(wide: bool, count: usize, x: usize): f64 {
  return wide ? squaresAs<f64>(count, x) : squaresAs<f32>(count, x);
}

function squaresAs<T>(count: usize, x: usize): f64 {
  const end = x + count * sizeof<T>();
  let a = 0.0;
  let b = 0.0;
  let c = 0.0;
  let d = 0.0;
  for (; x + 4 * sizeof<T>() <= end; x += 4 * sizeof<T>()) {
    a += square<T>(x);
    b += square<T>(x + sizeof<T>());
    c += square<T>(x + 2 * sizeof<T>());
    d += square<T>(x + 3 * sizeof<T>());
  }
  if (x < end) a += square<T>(x);
  if (x + sizeof<T>() < end) b += square<T>(x + sizeof<T>());
  if (x + 2 * sizeof<T>() < end) c += square<T>(x + 2 * sizeof<T>());
  return a + b + (c + d);
}

function square<T>(place: usize): f64 {
  const x = <f64>load<T>(place);
  return x * x;
}

function fill<V>(x: f64): V {
  if (isVector<V>()) return f32x4.splat(<f32>x);
  return <V>x;
}

function get<V>(place: usize): V {
  if (isVector<V>()) return v128.load(place);
  return load<V>(place);
}

function put<V>(place: usize, x: V): void {
  if (isVector<V>()) v128.store(place, x);
  else store<V>(place, x);
}

function add<V>(a: V, b: V): V {
  if (isVector<V>()) return f32x4.add(a, b);
  return a + b;
}

function sub<V>(a: V, b: V): V {
  if (isVector<V>()) return f32x4.sub(a, b);
  return a - b;
}

function mul<V>(a: V, b: V): V {
  if (isVector<V>()) return f32x4.mul(a, b);
  return a * b;
}

function div<V>(a: V, b: V): V {
  if (isVector<V>()) return f32x4.div(a, b);
  return a / b;
}

function root<V>(a: V): V {
  if (isVector<V>()) return f32x4.sqrt(a);
  return sizeof<V>() === 4 ? <V>f32.sqrt(<f32>a) : <V>f64.sqrt(<f64>a);
}

/** a + x·(b - a) */
function towards<V>(a: V, b: V, x: V): V {
  return add<V>(a, mul<V>(x, sub<V>(b, a)));
}

/** Zero and NaN stay what they are. */
function sign<V>(a: V): V {
  if (isVector<V>()) {
    const one = v128.or(v128.and(a, f32x4.splat(-0.0)), f32x4.splat(1));
    return v128.bitselect(one, a, f32x4.gt(f32x4.abs(a), f32x4.splat(0)));
  }
  return abs(a) > 0 ? copysign<V>(1, a) : a;
}

/** Zero in place of what is smaller than the limit. */
function flush<V>(a: V, limit: V): V {
  if (isVector<V>()) return v128.andnot(a, f32x4.lt(f32x4.abs(a), limit));
  return abs(a) < limit ? <V>0 : a;
}
