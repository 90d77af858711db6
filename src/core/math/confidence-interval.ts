/**
 * Confidence intervals of metrics and of paired differences. A paired difference of two models over n samples varies only by samples on which they
 * disagree: `gained` samples are correct only in the second model, `lost` only in the first. Its variance is far lower than separate intervals
 * suggest: difference = (gained − lost) / n,  variance = (gained + lost) / n − difference².
 */
import { dataError } from "../errors.ts";
import { type Estimate, earlyConfidence } from "../estimate.ts";
import { random } from "../tensor/random.ts";

/** The 97.5 % quantile of the normal distribution. */
export const z95 = 1.959963984540054;

/** The share `confidence` of a normal distribution is within `z` standard deviations of the mean. */
export interface Level {
  readonly confidence: number;
  readonly z: number;
}

export const defaultLevel: Level = { confidence: 0.95, z: z95 };
/** The confidence level of 99.73 % for interim analyses (Haybittle-Peto), see docs/verdicts.md. */
export const earlyLevel: Level = { confidence: earlyConfidence, z: 3 };

/** Returns the level of each of several intervals so that all contain the true value with a confidence of 95 % (Bonferroni). */
export function levelOf(intervals: number): Level {
  const confidence = 1 - (1 - defaultLevel.confidence) / intervals;
  return { confidence, z: zOf(confidence) };
}

/** Accurate to 5 · 10⁻⁴ (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.23). */
export function zOf(confidence: number): number {
  if (confidence === defaultLevel.confidence) return defaultLevel.z;
  const t = Math.sqrt(-2 * Math.log((1 - confidence) / 2));
  return t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
}

/** Fewer samples give unbounded intervals. */
const minBootstrapSamples = 8;

/** The limits of a 95 % interval are about the 50th values from both ends. */
const maxResamples = 2000;
const minResamples = 200;
/** Large data gets fewer resamples, so that all together draw at most this number of values. */
const maxDraws = 4e7;

/** Returns a proportion with Wilson's interval, accurate for few samples, and near 0 or 1. @throws PithError E_DATA without samples. */
export function wilson(successes: number, count: number, { confidence, z }: Level = defaultLevel): Estimate {
  requireSamples(count);
  const share = successes / count;
  const z2 = z * z;
  const denominator = 1 + z2 / count;
  const center = (share + z2 / (2 * count)) / denominator;
  const halfWidth = (z / denominator) * Math.sqrt((share * (1 - share)) / count + z2 / (4 * count * count));
  const low = successes === 0 ? 0 : center - halfWidth;
  const high = successes === count ? 1 : center + halfWidth;
  return { value: share, low, high, count, confidence };
}

/** Returns a mean with Student's interval. */
export function meanInterval(values: Float64Array, level: Level = defaultLevel): Estimate {
  const { length: count } = values;
  requireSamples(count);
  const { mean, variance } = moments(values);
  const halfWidth =
    count > 1 ? studentQuantile(level, count - 1) * Math.sqrt(variance / count) : Number.POSITIVE_INFINITY;
  return { value: mean, low: mean - halfWidth, high: mean + halfWidth, count, confidence: level.confidence };
}

/** Exact for 1 and 2 degrees of freedom, otherwise to three digits (Cornish and Fisher). */
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

/** Returns a metric of `rows` (samples × columns) with its bootstrap interval. */
export function bootstrap(
  rows: Float64Array,
  columns: number,
  reduce: (rows: Float64Array) => number,
  seed: number,
): Estimate {
  const [low, high] = bootstrapInterval([rows], columns, ([drawn = rows]) => reduce(drawn), seed);
  return { value: reduce(rows), low, high, count: rows.length / columns, confidence: defaultLevel.confidence };
}

/** Returns reduce(second) − reduce(first) with its bootstrap interval. Resamples draw equal indices from both. */
export function bootstrapPairs(
  first: Float64Array,
  second: Float64Array,
  columns: number,
  reduce: (rows: Float64Array) => number,
  seed: number,
  level: Level = defaultLevel,
): Estimate {
  const [low, high] = bootstrapInterval(
    [first, second],
    columns,
    ([a = first, b = second]) => difference(reduce(a), reduce(b)),
    seed,
    level,
  );
  const value = difference(reduce(first), reduce(second));
  return { value, low, high, count: first.length / columns, confidence: level.confidence };
}

/** Returns the percentile interval of the resampled metric, widened for small samples (Hesterberg, The American Statistician 69, 2015, 371-386). */
function bootstrapInterval(
  series: readonly Float64Array[],
  columns: number,
  reduce: (resampledSeries: readonly Float64Array[]) => number,
  seed: number,
  level: Level = defaultLevel,
): [low: number, high: number] {
  const count = (series[0]?.length ?? 0) / columns;
  requireSamples(count);
  // Very few resampled samples could agree by chance and give a far too narrow interval.
  if (count < minBootstrapSamples) return [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const draw = random(seed, "bootstrap");
  const resampledSeries = series.map((rows) => new Float64Array(rows.length));
  const values = new Float64Array(
    Math.max(minResamples, Math.min(maxResamples, Math.floor(maxDraws / count / columns))),
  );
  for (let index = 0; index < values.length; index++) {
    for (let to = 0; to < count * columns; to += columns) {
      const from = draw.integer(count) * columns;
      for (const [seriesIndex, rows] of series.entries()) {
        for (let column = 0; column < columns; column++)
          (resampledSeries[seriesIndex] ?? rows)[to + column] = rows[from + column] ?? 0;
      }
    }
    values[index] = reduce(resampledSeries);
  }
  values.sort();
  const tailProbability = normalTail(studentQuantile(level, count - 1) * Math.sqrt(count / (count - 1)));
  return [quantile(values, tailProbability), quantile(values, 1 - tailProbability)];
}

/** The share of the normal distribution above x ≥ 0, accurate to 1e-7 (Abramowitz and Stegun 26.2.17). */
function normalTail(x: number): number {
  const t = 1 / (1 + 0.2316419 * x);
  const series = ((((1.330274429 * t - 1.821255978) * t + 1.781477937) * t - 0.356563782) * t + 0.31938153) * t;
  return (series * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

function difference(first: number, second: number): number {
  return first === second ? 0 : second - first;
}

/**
 * Returns the difference of two models' proportions of correct samples, second − first, with its interval.
 *
 * Wald's interval is too narrow if the models disagree on few samples. Tango's score interval (Statistics in Medicine 17, 1998, 891-908) contains
 * each difference d that the n samples do not contradict, using the variance that holds if d is true:
 *     gained − lost − n d = ± z √(n (2 q + d (1 − d))),  q is the likeliest share of lost samples given d:
 *     2 n q² + (−gained − lost + (2 n − gained + lost) d) q − lost d (1 − d) = 0
 */
export function pairedScores(count: number, gained: number, lost: number, level: Level = defaultLevel): Estimate {
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
  return { value, low: bisect(score, -1, value, z), high: bisect(score, value, 1, -z), count, confidence };
}

/** Returns the argument at which a decreasing function has the value `target`, by bisection. */
function bisect(decreasing: (at: number) => number, from: number, to: number, target: number): number {
  let [low, high] = [from, to];
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (decreasing(middle) > target) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Returns the mean difference second − first, with Student's interval. */
export function pairedMeans(first: Float64Array, second: Float64Array, level: Level = defaultLevel): Estimate {
  if (first.length !== second.length)
    throw dataError(`Pairs need the same samples: got ${first.length} and ${second.length}.`);
  return meanInterval(
    second.map((value, index) => value - (first[index] ?? 0)),
    level,
  );
}

/** The two-sided p-value of McNemar's exact test: min(1, 2 P(X ≤ min(b, c))), X ~ Binomial(b + c, 1/2). */
export function mcnemarExact(onlyFirst: number, onlySecond: number): number {
  const trials = onlyFirst + onlySecond;
  const fewer = Math.min(onlyFirst, onlySecond);
  if (trials === 0) return 1;
  // C(trials, fewer) / 2^trials. Halving in between is exact and prevents overflow.
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

/** Interpolates linearly between ascending values. */
export function quantile(sortedValues: Float64Array, share: number): number {
  const position = share * (sortedValues.length - 1);
  const below = sortedValues[Math.floor(position)] ?? Number.NaN;
  const above = sortedValues[Math.ceil(position)] ?? Number.NaN;
  return below === above ? below : below + (above - below) * (position - Math.floor(position));
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
  if (!(count >= 1)) throw dataError(`A metric needs at least one sample, got ${count}.`);
}
