/**
 * Measures the difference between the outputs y of a changed model and the original's outputs x, in float64:
 *     signal to noise = 10 log10(Σ x² / Σ (x − y)²)        cosine = Σ x y / √(Σ x² Σ y²)        R² = 1 − Σ (x − y)² / Σ (x − m)², m: mean of x
 */
import { type OutputPart, selectPart } from "#analysis";
import { type Dense, dimsText, isFloat, sameDims, toFloat64 } from "#ir";
import { infinityTest } from "./mask-values.ts";

export class Difference {
  /** Reason why the outputs cannot be compared. */
  mismatch: string | undefined;
  /** Σ x² */
  signal = 0;
  /** Σ (x − y)² */
  noise = 0;
  #otherSignal = 0;
  #product = 0;

  add(x: number, y: number): void {
    this.signal += x * x;
    this.#otherSignal += y * y;
    this.noise += (x - y) ** 2;
    this.#product += x * y;
  }

  /** @param part part of the tensors to add (default: all). */
  addTensors(original: Dense, other: Dense, part?: OutputPart): void {
    const [before, after] = [dimsText(original.dims), dimsText(other.dims)];
    if (before !== after) {
      this.mismatch = `the output is ${before} in the original and ${after} in the model`;
      return;
    }
    const [xs = [], ys = []] = [original, other].map((dense) =>
      toFloat64(part === undefined ? dense : selectPart(dense, part)),
    );
    for (let index = 0; index < xs.length; index++) this.add(xs[index] ?? 0, ys[index] ?? 0);
  }

  get signalToNoise(): number {
    return decibels(this.signal, this.noise);
  }

  get relativeNoise(): number {
    return this.noise === 0 ? 0 : this.noise / this.signal;
  }

  /** Root mean square of the difference, relative to that of the larger output; 0 to 2. */
  get relativeError(): number {
    return this.noise === 0 ? 0 : Math.sqrt(this.noise / Math.max(this.signal, this.#otherSignal));
  }

  get cosine(): number {
    if (this.signal === 0 && this.#otherSignal === 0) return 1;
    return this.#product / Math.sqrt(this.signal * this.#otherSignal);
  }
}

/** Minimum variance over samples of data, as a share of the mean square: about ten times the mean squared rounding error of float16. */
export const minVariationOfData = 1e-6;

/** Minimum change over the samples, as a share of the operator's range, at which the values of a saturating operator are not saturated. */
export const minChange = 0.01;

/** Returns the rows in descending order of a figure. NaN counts as infinite. */
export function worstFirst<T>(rows: readonly T[], figureOf: (row: T) => number | undefined): readonly T[] {
  const rankOf = (row: T): number => {
    const figure = figureOf(row) ?? Number.NEGATIVE_INFINITY;
    return Number.isNaN(figure) ? Number.POSITIVE_INFINITY : figure;
  };
  return rows.toSorted((a, b) => {
    const [first, second] = [rankOf(a), rankOf(b)];
    return first === second ? 0 : second - first;
  });
}

export function decibels(signal: number, noise: number): number {
  return noise === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(signal / noise);
}

/** Returns Σ (x − m)², where m is the mean of x's group: Σ x² − Σ (Σ x)² / n. */
export function variation(squares: number, sums: ArrayLike<number>, counts: ArrayLike<number>): number {
  let squaresOfMeans = 0;
  for (let group = 0; group < sums.length; group++)
    squaresOfMeans += (sums[group] ?? 0) ** 2 / Math.max(1, counts[group] ?? 1);
  return squares - squaresOfMeans;
}

/** Returns the largest difference relative to the expected magnitude; infinite if types, dimensions, integers or non-finite values differ. */
export function largestDifference(expected: Dense, got: Dense | undefined, minScale = 0): number {
  if (got === undefined || got.type !== expected.type || !sameDims(got.dims, expected.dims))
    return Number.POSITIVE_INFINITY;
  if (expected.type === "string" || got.type === "string" || !isFloat(expected.type)) {
    const [a, b] = [expected.data, got.data];
    for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return Number.POSITIVE_INFINITY;
    return 0;
  }
  const [a, b] = [toFloat64(expected), toFloat64(got)];
  const isInfiniteValue = infinityTest(expected.type);
  let [largest, maxGap, maxFillGap] = [0, 0, 0];
  for (let index = 0; index < a.length; index++) {
    const [x = 0, y = 0] = [a[index], b[index]];
    const isXInfinite = isInfiniteValue(x);
    if (Number.isFinite(x) && !isXInfinite) largest = Math.max(largest, Math.abs(x));
    if (Object.is(x, y) || x === y) continue;
    const gap = Math.abs(x - y);
    if (!Number.isFinite(gap)) return Number.POSITIVE_INFINITY;
    if (isXInfinite) maxFillGap = Math.max(maxFillGap, gap / Math.abs(x));
    else maxGap = Math.max(maxGap, gap);
  }
  return Math.max(maxFillGap, maxGap / Math.max(minScale, largest < 1e-6 ? 1 : largest));
}
