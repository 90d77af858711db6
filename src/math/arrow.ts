/**
 * The singular value decomposition of an arrow: z in the first row, numbers d₂ … dₙ on the diagonal below it, zeros elsewhere.
 *
 * Singular values are the roots ω of 1 + Σ zⱼ² / (dⱼ² - ω²) = 0 with d₁ = 0, one between two neighbours each. Each root is kept as its distance from the
 * closer pole, and z is computed anew as the one that belongs to exactly these roots: vectors are orthogonal however close roots and poles are
 * (Gu and Eisenstat 1995, "A divide-and-conquer algorithm for the bidiagonal SVD"). Poles that nearly coincide, and those with z near 0, are
 * roots as they are, as in LAPACK's `dlasd2`.
 */
import { type Matrix, matrix } from "./matrix.ts";

export interface ArrowSvd {
  /** Unsorted. */
  readonly values: Float64Array;
  /** Singular vectors in rows. */
  readonly left: Matrix | undefined;
  readonly right: Matrix;
}

/** A plane rotation of coordinates p and q. */
interface Rotation {
  readonly p: number;
  readonly q: number;
  readonly cosine: number;
  readonly sine: number;
}

/**
 * @param d the diagonal; its first entry is 0, and none is negative. It and `z` are overwritten.
 * @param size the magnitude of the entries that both were computed from.
 */
export function arrowSvd(d: Float64Array, z: Float64Array, size: number, withLeft: boolean): ArrowSvd {
  const count = d.length;
  const { kept, deflated, rotations } = deflate(d, z, size);
  const values = new Float64Array(count);
  const left = withLeft ? matrix(count, count) : undefined;
  const right = matrix(count, count);
  const poles = Float64Array.from(kept, (place) => d[place] ?? 0);
  const weights = Float64Array.from(kept, (place) => z[place] ?? 0);
  const { roots, gaps } = solve(poles, weights);
  values.set(roots);
  fillVectors(kept, poles, exactWeights(poles, weights, gaps), gaps, count, left?.data, right.data);
  for (const [index, place] of deflated.entries()) {
    const row = kept.length + index;
    values[row] = d[place] ?? 0;
    right.data[row * count + place] = 1;
    if (left !== undefined) left.data[row * count + place] = 1;
  }
  for (const { p, q, cosine, sine } of rotations.reverse()) {
    for (const basis of [left?.data, right.data]) {
      if (basis === undefined) continue;
      for (let row = 0; row < basis.length; row += count) {
        const [a, b] = [basis[row + p] ?? 0, basis[row + q] ?? 0];
        basis[row + p] = cosine * a + sine * b;
        basis[row + q] = cosine * b - sine * a;
      }
    }
  }
  return { values, left, right };
}

interface Deflation {
  /** Coordinates whose poles are distinct and whose z are not 0, poles ascending. */
  readonly kept: readonly number[];
  /** Coordinates whose singular value is the pole itself. */
  readonly deflated: readonly number[];
  /** They transform the given coordinates into these, in this order. */
  readonly rotations: Rotation[];
}

/** The tolerance of an arrow of zeros: its square must not underflow. Entries near 1 are assumed. */
const smallest = 2 ** -300;

function deflate(d: Float64Array, z: Float64Array, size: number): Deflation {
  const tolerance = 8 * 2 ** -53 * d.reduce((most, value) => Math.max(most, value), Math.max(size, smallest));
  const [kept, deflated, rotations]: [number[], number[], Rotation[]] = [[0], [], []];
  if (Math.abs(z[0] ?? 0) <= tolerance) z[0] = tolerance;
  let last: number | undefined;
  const order = Uint32Array.from({ length: d.length - 1 }, (_, index) => index + 1).sort(
    (a, b) => (d[a] ?? 0) - (d[b] ?? 0),
  );
  for (const place of order) {
    const weight = z[place] ?? 0;
    if (Math.abs(weight) <= tolerance) {
      deflated.push(place);
      continue;
    }
    if (last !== undefined) {
      if ((d[place] ?? 0) - (d[last] ?? 0) > tolerance) kept.push(last);
      else {
        // Rotates z into one of the two coordinates; the entry that this puts beside the diagonal is below the tolerance.
        const other = z[last] ?? 0;
        const length = Math.hypot(weight, other);
        rotations.push({ p: last, q: place, cosine: weight / length, sine: other / length });
        z[place] = length;
        deflated.push(last);
      }
    }
    last = place;
  }
  if (last !== undefined) kept.push(last);
  const second = kept[1];
  if (second !== undefined) d[second] = Math.max(d[second] ?? 0, tolerance / 2);
  return { kept, deflated, rotations };
}

interface Roots {
  readonly roots: Float64Array;
  /** d[j]² - roots[i]² at i · count + j, each with small relative error. */
  readonly gaps: Float64Array;
}

function solve(d: Float64Array, z: Float64Array): Roots {
  const count = d.length;
  const squares = z.map((value) => value * value);
  const roots = new Float64Array(count);
  const gaps = new Float64Array(count * count);
  const distances = new Float64Array(count);
  for (let index = 0; index < count; index++) {
    const pole = d[index] ?? 0;
    const next = d[index + 1];
    const above = next === undefined ? squares.reduce((sum, value) => sum + value, 0) : (next - pole) * (next + pole);
    distancesFrom(d, index, distances);
    let [origin, from, to] = [pole, 0, above];
    if (next !== undefined) {
      if (secular(squares, distances, above / 2, index).value >= 0) to = above / 2;
      else {
        distancesFrom(d, index + 1, distances);
        [origin, from, to] = [next, -above / 2, 0];
      }
    }
    const offset = root(squares, distances, index, from, to);
    roots[index] = origin + offset / (origin + Math.sqrt(origin * origin + offset));
    for (let j = 0; j < count; j++) gaps[index * count + j] = (distances[j] ?? 0) - offset;
  }
  return { roots, gaps };
}

/** d[j]² - d[origin]². */
function distancesFrom(d: Float64Array, origin: number, distances: Float64Array): void {
  const pole = d[origin] ?? 0;
  for (let j = 0; j < d.length; j++) distances[j] = ((d[j] ?? 0) - pole) * ((d[j] ?? 0) + pole);
}

interface Secular {
  readonly value: number;
  /** The parts of the slope that come from the poles up to the given one, and from those above it. */
  readonly slopeBelow: number;
  readonly slopeAbove: number;
  /** A bound on the rounding error of `value`, in units of 2^-52. */
  readonly size: number;
}

/** 1 + Σ squares[j] / (distances[j] - x). */
function secular(squares: Float64Array, distances: Float64Array, x: number, last: number): Secular {
  let [below, above, slopeBelow, slopeAbove] = [0, 0, 0, 0];
  for (let j = 0; j <= last; j++) {
    const gap = (distances[j] ?? 0) - x;
    const share = (squares[j] ?? 0) / gap;
    below += share;
    slopeBelow += share / gap;
  }
  for (let j = squares.length - 1; j > last; j--) {
    const gap = (distances[j] ?? 0) - x;
    const share = (squares[j] ?? 0) / gap;
    above += share;
    slopeAbove += share / gap;
  }
  return { value: 1 + below + above, slopeBelow, slopeAbove, size: 1 + above - below };
}

/** 4 to 6 in practice; every other one at least halves what is left. */
const mostIterations = 150;

/**
 * The root between `from` and `to`, one of which is 0: the closer pole. The sum over the poles below and that over those above are each
 * replaced by a constant and one pole, with the same value and slope (the middle way, Li 1993).
 */
function root(squares: Float64Array, distances: Float64Array, index: number, from: number, to: number): number {
  const [lower, upper] = [distances[index] ?? 0, distances[index + 1]];
  let [low, high] = [from, to];
  let x = start(squares, distances, index, from, to);
  for (let iteration = 0; iteration < mostIterations; iteration++) {
    if (!(x > low && x < high)) x = between(low, high);
    const { value, slopeBelow, slopeAbove, size } = secular(squares, distances, x, index);
    if (Math.abs(value) <= 4 * 2 ** -52 * size) break;
    if (value < 0) low = x;
    else high = x;
    const a = lower - x;
    let step: number;
    if (upper === undefined) step = (-value * a) / (value - a * slopeBelow);
    else {
      const b = upper - x;
      step = smallRoot(
        value - a * slopeBelow - b * slopeAbove,
        (a + b) * value - a * b * (slopeBelow + slopeAbove),
        a * b * value,
      );
    }
    if (!(step * value < 0)) step = -value / (slopeBelow + slopeAbove);
    let next = x + step;
    // Bisects where the model does not fit.
    if (iteration % 3 === 2 || !(next > low && next < high)) {
      const middle = between(low, high);
      if (!(next > low && next < high) || Math.abs(middle - x) < Math.abs(next - x)) next = middle;
    }
    if (next === x || Math.abs(next - x) <= 2 ** -52 * Math.abs(x)) break;
    x = next;
  }
  return x;
}

/** The middle of an interval; the geometric mean if its ends differ by orders of magnitude. */
function between(low: number, high: number): number {
  if (low > 0 && high > 16 * low) return Math.sqrt(low * high);
  if (high < 0 && low < 16 * high) return -Math.sqrt(low * high);
  return (low + high) / 2;
}

/** Where the iteration starts: the two neighbouring poles are exact, the others are taken at the middle of the interval. */
function start(squares: Float64Array, distances: Float64Array, index: number, from: number, to: number): number {
  const middle = from === 0 ? to : from;
  let rest = 1;
  for (let j = 0; j < squares.length; j++) {
    if (j !== index && j !== index + 1) rest += (squares[j] ?? 0) / ((distances[j] ?? 0) - middle);
  }
  const own = squares[index] ?? 0;
  const other = squares[index + 1];
  if (other === undefined) return own / rest;
  const [lower, upper] = [distances[index] ?? 0, distances[index + 1] ?? 0];
  const apart = upper - lower;
  return lower === 0
    ? smallRoot(rest, rest * apart + own + other, own * apart)
    : smallRoot(rest, own + other - rest * apart, -other * apart);
}

/** The root x of a x² - b x + c = 0 that goes to c / b for small c. */
function smallRoot(a: number, b: number, c: number): number {
  const spread = Math.sqrt(Math.max(0, b * b - 4 * a * c));
  return b > 0 ? (2 * c) / (b + spread) : (b - spread) / (2 * a);
}

/** The z whose roots are exactly those found (Löwner 1934), with the signs of the given one. */
function exactWeights(d: Float64Array, z: Float64Array, gaps: Float64Array): Float64Array {
  const count = d.length;
  const exact = new Float64Array(count).fill(1);
  for (let j = 0; j < count; j++) {
    for (let i = 0; i < count; i++) {
      const own = d[i] ?? 0;
      const other = d[j < i ? j : j + 1];
      const gap = gaps[j * count + i] ?? 0;
      exact[i] = (exact[i] ?? 0) * (other === undefined ? -gap : gap / ((own - other) * (own + other)));
    }
  }
  return exact.map((square, i) => Math.sign(z[i] ?? 0) * Math.sqrt(Math.max(0, square)));
}

/** Row i: right zⱼ / (dⱼ² - ωᵢ²), left the same times dⱼ, and -1 in the first place. */
function fillVectors(
  places: readonly number[],
  d: Float64Array,
  z: Float64Array,
  gaps: Float64Array,
  width: number,
  left: Float64Array | undefined,
  right: Float64Array,
): void {
  const count = d.length;
  for (let i = 0; i < count; i++) {
    let [leftSquare, rightSquare] = [1, 0];
    for (let j = 0; j < count; j++) {
      const entry = (z[j] ?? 0) / (gaps[i * count + j] ?? 0);
      gaps[i * count + j] = entry;
      rightSquare += entry * entry;
      leftSquare += ((d[j] ?? 0) * entry) ** 2;
    }
    const [toLeft, toRight] = [1 / Math.sqrt(leftSquare), 1 / Math.sqrt(rightSquare)];
    for (let j = 0; j < count; j++) {
      const at = i * width + (places[j] ?? 0);
      const entry = gaps[i * count + j] ?? 0;
      right[at] = entry * toRight;
      if (left !== undefined) left[at] = j === 0 ? -toLeft : (d[j] ?? 0) * entry * toLeft;
    }
  }
}
