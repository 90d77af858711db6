/**
 * How sure a figure is: 95 % intervals, and what two models differ by when both saw the same samples.
 *
 * Pairs decide: two models that agree on most samples differ by far less than their separate intervals suggest, because the variance of
 * a difference counts only the samples on which they disagree.
 *   difference = (gained − lost) / n,  variance = (gained + lost) / n − difference²
 * and to show a margin m, while a share d of the samples is disputed, takes N = z² d / m² samples (z² = 3.84).
 */
import { PithError } from "../errors.ts";
import { random } from "../tensor/random.ts";
import type { Estimate } from "./types.ts";

/** The 97.5 % quantile of the normal distribution: 95 % lie between −z and z. */
export const z95 = 1.959963984540054;

/** How sure an interval is: this share of normally distributed numbers lies within `z` standard deviations. */
export interface Level {
  readonly confidence: number;
  readonly z: number;
}

/** 95 % */
export const usualLevel: Level = { confidence: 0.95, z: z95 };
/** 99.73 %: so sure are looks before the last one, see docs/verdicts.md (Haybittle-Peto). */
export const earlyLevel: Level = { confidence: 0.9973, z: 3 };

/** How sure each of so many intervals has to be, so that all hold together at 95 % (Bonferroni). */
export function levelOf(intervals: number): Level {
  return levelAt(1 - (1 - usualLevel.confidence) / intervals);
}

export const levelAt = (confidence: number): Level => ({ confidence, z: zOf(confidence) });

/** z of an interval this sure, to within 5 · 10⁻⁴ (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.23). */
export function zOf(confidence: number): number {
  if (confidence === usualLevel.confidence) return usualLevel.z;
  const t = Math.sqrt(-2 * Math.log((1 - confidence) / 2));
  return t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
}

/** With fewer samples a bootstrap tells nothing. */
const fewestSamples = 8;

/** Resamples of a bootstrap: the ends of a 95 % interval are then the 50th value from either side. Fewer where samples are many. */
const mostResamples = 2000;
const fewestResamples = 200;
const mostDraws = 2e7;

/**
 * A proportion with Wilson's 95 % interval, which stays inside 0..1 and is right for few samples and for shares near 0 or 1.
 * @throws PithError E_DATA without samples.
 */
export function wilson(successes: number, count: number): Estimate {
  requireSamples(count);
  const share = successes / count;
  const z2 = z95 * z95;
  const denominator = 1 + z2 / count;
  const centre = (share + z2 / (2 * count)) / denominator;
  const half = (z95 / denominator) * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count * count));
  // At the ends the bound is the end itself, but for rounding.
  const low = successes === 0 ? 0 : centre - half;
  const high = successes === count ? 1 : centre + half;
  return { value: share, low, high, count, confidence: usualLevel.confidence };
}

/** A mean with Student's interval, 95 % unless said. With one sample the interval is unbounded. */
export function meanInterval(values: Float64Array, level: Level = usualLevel): Estimate {
  const { length: count } = values;
  requireSamples(count);
  const { mean, variance } = moments(values);
  const half = count > 1 ? studentQuantile(level, count - 1) * Math.sqrt(variance / count) : Number.POSITIVE_INFINITY;
  return { value: mean, low: mean - half, high: mean + half, count, confidence: level.confidence };
}

/**
 * The t within which Student's distribution has the share `confidence`: what z is where the variance is known. Exact for one and two degrees
 * of freedom; of more Cornish and Fisher's expansion in 1 / freedom, which is right to three digits.
 */
function studentQuantile({ confidence, z }: Level, freedom: number): number {
  if (freedom === 1) return Math.tan((confidence * Math.PI) / 2);
  if (freedom === 2) return confidence * Math.sqrt(2 / (1 - confidence ** 2));
  const z2 = z * z;
  const terms = [
    (z2 + 1) / 4,
    ((5 * z2 + 16) * z2 + 3) / 96,
    (((3 * z2 + 19) * z2 + 17) * z2 - 15) / 384,
    ((((79 * z2 + 776) * z2 + 1482) * z2 - 1920) * z2 - 945) / 92_160,
  ];
  return z * (1 + terms.reduce((sum, term, index) => sum + term / freedom ** (index + 1), 0));
}

/**
 * Any reduction of rows with its bootstrap 95 % interval: samples are drawn with replacement, 2,000 times. Of fewer than 8 samples
 * the interval is unbounded.
 * @param rows samples × columns, row-major.
 */
export function bootstrap(
  rows: Float64Array,
  columns: number,
  reduce: (rows: Float64Array) => number,
  seed: number,
): Estimate {
  const [low, high] = resample([rows], columns, ([drawn = rows]) => reduce(drawn), seed);
  return { value: reduce(rows), low, high, count: rows.length / columns, confidence: usualLevel.confidence };
}

/** reduce(second) − reduce(first) with its bootstrap interval; both lose and repeat the same samples, so pairs stay pairs. */
export function bootstrapPairs(
  first: Float64Array,
  second: Float64Array,
  columns: number,
  reduce: (rows: Float64Array) => number,
  seed: number,
  level: Level = usualLevel,
): Estimate {
  const [low, high] = resample(
    [first, second],
    columns,
    ([a = first, b = second]) => difference(reduce(a), reduce(b)),
    seed,
    level,
  );
  const value = difference(reduce(first), reduce(second));
  return { value, low, high, count: first.length / columns, confidence: level.confidence };
}

/**
 * The ends between which the share `confidence` of the resampled figures would lie, but for two reasons that make few samples look surer than
 * they are: their variance is too small by (n − 1) / n, and itself uncertain, as Student's is. Ends are taken further out by both (Hesterberg,
 * The American Statistician 69, 2015, 371-386).
 */
function resample(
  series: readonly Float64Array[],
  columns: number,
  reduce: (drawn: readonly Float64Array[]) => number,
  seed: number,
  level: Level = usualLevel,
): [low: number, high: number] {
  const count = (series[0]?.length ?? 0) / columns;
  requireSamples(count);
  // Drawing from next to nothing gives next to nothing back: the interval would be narrow by chance.
  if (count < fewestSamples) return [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const draw = random(seed, "bootstrap");
  const drawn = series.map((rows) => new Float64Array(rows.length));
  const values = new Float64Array(Math.max(fewestResamples, Math.min(mostResamples, Math.floor(mostDraws / count))));
  for (let index = 0; index < values.length; index++) {
    for (let to = 0; to < count * columns; to += columns) {
      const from = draw.integer(count) * columns;
      for (const [at, rows] of series.entries()) {
        for (let column = 0; column < columns; column++) (drawn[at] ?? rows)[to + column] = rows[from + column] ?? 0;
      }
    }
    values[index] = reduce(drawn);
  }
  values.sort();
  const tail = normalTail(studentQuantile(level, count - 1) * Math.sqrt(count / (count - 1)));
  return [quantile(values, tail), quantile(values, 1 - tail)];
}

/** The share of the normal distribution above x ≥ 0, to 1e-7 (Abramowitz and Stegun 26.2.17). */
function normalTail(x: number): number {
  const t = 1 / (1 + 0.2316419 * x);
  const series = ((((1.330274429 * t - 1.821255978) * t + 1.781477937) * t - 0.356563782) * t + 0.31938153) * t;
  return (series * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

/** Two equal infinities do not differ. */
function difference(first: number, second: number): number {
  return first === second ? 0 : second - first;
}

/**
 * second − first, where both are proportions over the same samples: `gained` samples only the second has right, `lost` only the first.
 *
 * Wald's interval takes the variance from the samples at hand: where few are disputed, all of them lost, it is too narrow, and
 * shows a limit to be kept that is not four times as often as it may. Tango's (Statistics in Medicine 17, 1998, 891-908) asks of every
 * difference d whether the samples contradict it, with the variance that they would have if d were true:
 *   gained − lost − n d = ± z √(n (2 q + d (1 − d))),  q the likeliest share of lost samples given d:
 *   2 n q² + (−gained − lost + (2 n − gained + lost) d) q − lost d (1 − d) = 0
 * Without disputed samples its ends are Wilson's, z² / (n + z²).
 */
export function pairedScores(count: number, gained: number, lost: number, level: Level = usualLevel): Estimate {
  requireSamples(count);
  const { confidence, z } = level;
  const value = (gained - lost) / count;
  const score = (d: number): number => {
    const b = (2 * count - gained + lost) * d - gained - lost;
    const q = (Math.sqrt(Math.max(0, b * b + 8 * count * lost * d * (1 - d))) - b) / (4 * count);
    const variance = count * (2 * q + d * (1 - d));
    const distance = gained - lost - count * d;
    return variance > 0 ? distance / Math.sqrt(variance) : Math.sign(distance) * Number.POSITIVE_INFINITY;
  };
  return { value, low: crossing(score, -1, value, z), high: crossing(score, value, 1, -z), count, confidence };
}

function crossing(falling: (at: number) => number, from: number, to: number, wanted: number): number {
  let [low, high] = [from, to];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (falling(middle) > wanted) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** second − first, paired by sample. */
export function pairedMeans(first: Float64Array, second: Float64Array, level: Level = usualLevel): Estimate {
  if (first.length !== second.length) {
    throw new PithError("E_DATA", `Pairs need the same samples: got ${first.length} and ${second.length}.`);
  }
  return meanInterval(
    second.map((value, index) => value - (first[index] ?? 0)),
    level,
  );
}

/**
 * McNemar's exact test, two-sided: how likely so uneven a split of the disputed samples is if both models are equally good,
 * min(1, 2 P(X ≤ min(b, c))), X ~ Binomial(b + c, 1/2).
 */
export function mcnemarExact(onlyFirst: number, onlySecond: number): number {
  const trials = onlyFirst + onlySecond;
  const fewer = Math.min(onlyFirst, onlySecond);
  if (trials === 0) return 1;
  // C(trials, fewer) / 2^trials, halving in between (which is exact) so that nothing overflows.
  let term = 1;
  let halvings = trials;
  for (let index = 1; index <= fewer; index++) {
    term *= (trials - fewer + index) / index;
    while (term > 1 && halvings > 0) {
      term /= 2;
      halvings--;
    }
  }
  term *= 2 ** -halvings;
  let sum = 0;
  for (let index = fewer; index >= 0 && term > sum * Number.EPSILON * 0.01; index--) {
    sum += term;
    term *= index / (trials - index + 1);
  }
  return Math.min(1, 2 * sum);
}

/**
 * Samples that it takes to show a margin: N = z² d / m², rounded up; infinite for a margin of 0. z² is 3.84 at 95 %.
 * @param disagree share of samples on which the two models disagree.
 * @param margin the difference to be told from chance, as a proportion.
 */
export function neededSamples(disagree: number, margin: number, { z }: Pick<Level, "z"> = usualLevel): number {
  if (margin === 0) return Number.POSITIVE_INFINITY;
  // 3.84 is what tables have for 95 %.
  const z2 = z === z95 ? 3.84 : z * z;
  const exact = (z2 * disagree) / (margin * margin);
  // What is whole but for the last digits of binary fractions is whole.
  return Math.ceil(exact * (1 - 1e-12));
}

/** The value below which a share of sorted values lies, interpolated linearly. */
export function quantile(sorted: Float64Array, share: number): number {
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below === above ? below : below + (above - below) * (place - Math.floor(place));
}

export function moments(values: Float64Array): { readonly mean: number; readonly variance: number } {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return { mean, variance: values.length > 1 ? squares / (values.length - 1) : 0 };
}

function requireSamples(count: number): void {
  if (!(count >= 1)) throw new PithError("E_DATA", `A figure needs at least one sample, got ${count}.`);
}
