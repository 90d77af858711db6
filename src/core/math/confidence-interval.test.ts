import { describe, expect, it, test } from "vitest";
import { compareRows } from "../../judge/compare/compare.ts";
import { type Comparison, defaultDrop, judge } from "../../judge/compare/goal.ts";
import { accuracy, crossEntropy, matthews, perplexity } from "../../runtime/metrics/class-metrics.ts";
import { agreement, meanKl } from "../../runtime/metrics/comparison-metrics.ts";
import { cosine } from "../../runtime/metrics/embedding.ts";
import { estimate } from "../../runtime/metrics/evaluate.ts";
import { meanSquaredError, peakSignalToNoise } from "../../runtime/metrics/regression.ts";
import { random } from "../tensor/random.ts";
import {
  bootstrap,
  bootstrapPairs,
  defaultLevel,
  earlyLevel,
  levelOf,
  mcnemarExact,
  meanInterval,
  moments,
  pairedScores,
  quantile,
  wilson,
  zOf,
} from "./confidence-interval.ts";

const mean = (values: Float64Array): number => moments(values).mean;

test.each([
  [1, 1.959964],
  [2, 2.241403],
  [4, 2.497705],
  [30, 3.14398],
])("levelOf for %i simultaneous intervals gives z = %f", (count, z) => {
  expect(Math.abs(levelOf(count).z - z)).toBeLessThan(5e-4);
  expect(zOf(levelOf(count).confidence)).toBe(levelOf(count).z);
});

test("judge rejects a loss that is significant at 95 %, for any number of intervals", () => {
  const rows = (wrong: number): Float64Array => Float64Array.from({ length: 500 }, (_, at) => (at < wrong ? 0 : 1));
  const candidate = rows(8);
  const original = rows(0);
  for (const intervals of [1, 4, 8, 40]) {
    const comparison = compareRows(accuracy(), original, candidate, levelOf(intervals));
    expect(judge(comparison, { maxDrop: 0.01 }).met, `${intervals}`).toBe(false);
  }
});

test("a few changed predictions are lost if the whole interval of their share exceeds the goal", () => {
  const rows = (count: number, changed: number): Float64Array =>
    Float64Array.from({ length: count }, (_, at) => (at < changed ? 0 : 1));
  const verdictOf = (count: number, changed: number, metric = agreement()) =>
    judge(compareRows(metric, rows(count, 0), rows(count, changed)), { maxDrop: 0.01 });
  expect(verdictOf(40, 3)).toMatchObject({ verdict: "lost", met: false });
  expect(verdictOf(30, 3).drop.high).toBeCloseTo(1 - wilson(27, 30).low, 12);
  for (const [count, changed] of [
    [40, 2],
    [10, 1],
  ] as const)
    expect(verdictOf(count, changed)).toMatchObject({ verdict: "undecided", met: true });
  // Other predictions of a labeled sample can become right, so three wrong ones can be chance.
  expect(verdictOf(40, 3, accuracy())).toMatchObject({ verdict: "undecided", met: true });
});

test("judge accepts a loss of agreement that is not significant, for any number of intervals", () => {
  const agreed = (apart: number): Float64Array => Float64Array.from({ length: 60 }, (_, at) => (at < apart ? 0 : 1));
  // The original agrees with itself on every sample.
  const metOf = (apart: number, intervals: number): boolean =>
    judge(compareRows(agreement(), agreed(0), agreed(apart), levelOf(intervals)), { maxDrop: 0.01 }).met;
  for (const intervals of [1, 4, 40]) {
    expect(metOf(1, intervals), `${intervals}`).toBe(true);
    expect(metOf(2, intervals), `${intervals}`).toBe(true);
    expect(metOf(4, intervals), `${intervals}`).toBe(false);
  }
  const equal = new Float64Array(60).fill(1);
  const cosines = (of: (at: number) => number) => Float64Array.from(equal, (_, at) => of(at));
  for (const intervals of [1, 4, 40]) {
    const level = levelOf(intervals);
    const rare = compareRows(
      cosine(),
      equal,
      cosines((at) => (at === 0 ? 0.1 : 1)),
      level,
    );
    expect(judge(rare, { maxDrop: 0.01 }).met, `${intervals}`).toBe(true);
    const common = compareRows(
      cosine(),
      equal,
      cosines((at) => 0.9 - (at % 2) / 100),
      level,
    );
    expect(judge(common, { maxDrop: 0.01 }).met, `${intervals}`).toBe(false);
  }
});

describe("confidence intervals", () => {
  it("require at least one sample", () => {
    expect(() => wilson(0, 0)).toThrow("at least one sample");
    expect(() => meanInterval(new Float64Array())).toThrow("at least one sample");
    expect(() => bootstrap(new Float64Array(), 1, () => 0, 1)).toThrow("at least one sample");
  });

  it("are unbounded for the mean of one sample", () => {
    expect(meanInterval(Float64Array.of(3))).toEqual({
      value: 3,
      low: Number.NEGATIVE_INFINITY,
      high: Number.POSITIVE_INFINITY,
      count: 1,
      confidence: 0.95,
    });
  });

  it("by bootstrap are close to normal ones for a mean, and reproducible by seed", () => {
    const draw = random(1);
    const rows = Float64Array.from({ length: 400 }, () => draw.normal());
    const [exact, resampled] = [meanInterval(rows), bootstrap(rows, 1, mean, 7)];
    expect(resampled.value).toBe(exact.value);
    expect(Math.abs(resampled.low - exact.low)).toBeLessThan(0.02);
    expect(Math.abs(resampled.high - exact.high)).toBeLessThan(0.02);
    expect(bootstrap(rows, 1, mean, 7)).toEqual(resampled);
    expect(bootstrap(rows, 1, mean, 8)).not.toEqual(resampled);
  });

  it("of a proportion cover the true value about 95 times in 100", () => {
    const draw = random(2);
    let covered = 0;
    for (let trial = 0; trial < 2000; trial++) {
      let successes = 0;
      for (let sample = 0; sample < 60; sample++) successes += Number(draw.uniform() < 0.9);
      const { low, high } = wilson(successes, 60);
      if (low <= 0.9 && high >= 0.9) covered++;
    }
    expect(covered / 2000).toBeGreaterThan(0.93);
    expect(covered / 2000).toBeLessThan(0.98);
  });

  it.each([
    ["of two samples", 2, 2000, meanInterval],
    ["of five", 5, 2000, meanInterval],
    ["of thirty", 30, 2000, meanInterval],
    ["of eight, by bootstrap", 8, 500, (rows: Float64Array) => bootstrap(rows, 1, mean, 1)],
  ])("of a mean %s cover the true value about 95 times in 100", (_, count, trials, interval) => {
    const draw = random(count, "means");
    let covered = 0;
    for (let trial = 0; trial < trials; trial++) {
      const { low, high } = interval(Float64Array.from({ length: count }, () => draw.normal()));
      if (low <= 0 && high >= 0) covered++;
    }
    // The result of 500 trials at 95 % is within 2.5 points of 95 %, 99 times in 100.
    expect(covered / trials).toBeGreaterThan(0.925);
    expect(covered / trials).toBeLessThan(0.975);
  });

  it.each([
    [defaultLevel, 0.93],
    [earlyLevel, 0.994],
  ])("of pairs cover the true difference at their confidence level: %o", (level, least) => {
    const draw = random(6, "pairs");
    const [trials, count] = [2000, 200];
    let covered = 0;
    for (let trial = 0; trial < trials; trial++) {
      let [gained, lost] = [0, 0];
      for (let sample = 0; sample < count; sample++) {
        const place = draw.uniform();
        if (place < 0.02) gained++;
        else if (place < 0.1) lost++;
      }
      const { low, high, confidence } = pairedScores(count, gained, lost, level);
      expect(confidence).toBe(level.confidence);
      if (low <= -0.06 && high >= -0.06) covered++;
    }
    expect(covered / trials).toBeGreaterThan(least);
  });

  it("of a difference end at 0 if the original cannot be surpassed", () => {
    const same = new Float64Array(20).fill(1);
    const { difference, candidate } = compareRows(agreement(), same, same);
    expect(difference).toMatchObject({ value: 0, high: 0, confidence: 0.95 });
    expect(1 + difference.low).toBeCloseTo(candidate.low, 9);
    expect(candidate.low).toBeCloseTo(0.839, 3);
    // Rows of several positions, and vectors whose cosine with themselves is 1 up to rounding.
    const [rounded, most] = [new Float64Array(4).fill(1 - 1e-16), Float64Array.of(1, 1, 0.9, 1)];
    for (const metric of [agreement(), cosine()]) {
      expect(compareRows(metric, rounded, most).difference.high).toBe(0);
      expect(estimate(metric, most).high).toBe(1);
    }
    expect(compareRows(meanKl(), new Float64Array(4), Float64Array.of(0, 0, 0.1, 0)).difference.low).toBe(0);
    // Agreement on labeled samples does not show that the models agree on other samples.
    expect(compareRows(accuracy(), same, same).difference.high).toBeCloseTo(0.161, 3);
    expect(compareRows(agreement(), Float64Array.of(1, 0, 1, 1), same.slice(0, 4)).difference.high).toBeGreaterThan(
      0.5,
    );
  });

  it("of bootstrapped pairs are narrow if the pairs are correlated", () => {
    const draw = random(3);
    const first = Float64Array.from({ length: 300 }, () => draw.normal());
    const second = first.map((value) => value + 0.1 + 0.01 * draw.normal());
    const paired = bootstrapPairs(first, second, 1, mean, 1);
    expect(paired.low).toBeGreaterThan(0.09);
    expect(paired.high).toBeLessThan(0.11);
  });

  it.each([
    // The columns are samples, gained, lost, and the bounds computed by an independent program.
    [400, 6, 5, -0.0159, 0.02148],
    [100, 0, 3, -0.08452, 0.0081],
    [1000, 0, 10, -0.01831, -0.00544],
    [1000, 2, 30, -0.04072, -0.01827],
    [10_000, 20, 30, -0.00247, 0.0004],
  ])("of pairs equal Tango's: %i samples, %i gained, %i lost", (count, gained, lost, low, high) => {
    const estimate = pairedScores(count, gained, lost);
    expect(estimate.low).toBeCloseTo(low, 4);
    expect(estimate.high).toBeCloseTo(high, 4);
    expect(pairedScores(count, lost, gained).low).toBeCloseTo(-estimate.high, 9);
    expect(pairedScores(count, 0, 0).high).toBeCloseTo(wilson(0, count).high, 9);
  });

  it("of pairs wrongly show a met goal in at most one of 40 cases", () => {
    const draw = random(5);
    const [trials, count, limit] = [2000, 800, 0.01];
    let shown = 0;
    for (let trial = 0; trial < trials; trial++) {
      let lost = 0;
      for (let sample = 0; sample < count; sample++) lost += Number(draw.uniform() < limit);
      if (-pairedScores(count, 0, lost).low <= limit) shown++;
    }
    // Wald's interval would be wrong in one case of 10.
    expect(shown / trials).toBeLessThan(0.025);
  });

  it("follow the rows: Wilson's only if all rows are 0 or 1", () => {
    expect(estimate(accuracy(), Float64Array.of(1, 0, 1, 1))).toEqual(wilson(3, 4));
    const { low, ...mean } = meanInterval(Float64Array.of(1, 0.5, 1));
    expect(estimate(accuracy(), Float64Array.of(1, 0.5, 1))).toEqual({ ...mean, low, high: 1 });
    expect(mean.high).toBeGreaterThan(1);
    const { value, count } = estimate(perplexity(), Float64Array.of(2, 1, 4, 2));
    expect([value, count]).toEqual([Math.exp(2), 2]);
    // Two samples give no bound for a metric without its own formula.
    expect(estimate(perplexity(), Float64Array.of(2, 1, 2, 1))).toMatchObject({ high: Number.POSITIVE_INFINITY });
  });
});

describe("quantile", () => {
  it("interpolates and accepts infinite values", () => {
    expect(quantile(Float64Array.of(1, 2, 4), 0.75)).toBe(3);
    expect(quantile(Float64Array.of(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY), 0.3)).toBe(
      Number.POSITIVE_INFINITY,
    );
  });
});

describe("mcnemarExact", () => {
  it("is finite and nonzero where it should be for many disputed samples", () => {
    expect(mcnemarExact(5000, 5000)).toBe(1);
    // Normal approximation with continuity correction: z = (200 − 1) / √10200.
    expect(mcnemarExact(5000, 5200)).toBeCloseTo(0.0487, 3);
    expect(mcnemarExact(0, 2000)).toBe(0);
  });
});

describe("judge", () => {
  /** Compares n samples of which the candidate loses some correct predictions and gains others. */
  function outcome(count: number, gained: number, lost: number): Comparison {
    const original = new Float64Array(count).fill(1, 0, count - gained);
    const candidate = new Float64Array(count).fill(1, lost);
    return compareRows(accuracy(), original, candidate);
  }

  it("returns kept or lost if the interval shows it", () => {
    expect(judge(outcome(10_000, 20, 30), { maxDrop: 0.01 })).toMatchObject({ verdict: "kept", met: true });
    expect(judge(outcome(10_000, 20, 300), { maxDrop: 0.01 })).toMatchObject({ verdict: "lost", met: false });
  });

  it("uses the estimate by default and the bound if strict", () => {
    const open = outcome(400, 6, 5);
    expect(judge(open, { maxDrop: 0.01 })).toMatchObject({ verdict: "undecided", met: true });
    expect(judge(open, { maxDrop: 0.01, strict: true })).toMatchObject({ verdict: "undecided", met: false });
  });

  it("rejects only a drop that exceeds the goal and is significant", () => {
    // A drop of 1.25 points is not significant with 3 gained and 8 lost, but with 0 and 5.
    expect(judge(outcome(400, 3, 8), { maxDrop: 0.01 })).toMatchObject({ verdict: "undecided", met: true });
    expect(judge(outcome(400, 3, 8), { maxDrop: 0.01, strict: true }).met).toBe(false);
    expect(judge(outcome(400, 0, 5), { maxDrop: 0.01 })).toMatchObject({ verdict: "undecided", met: false });
    // A significant drop of 0.1 points is within 1 point, and a drop of 5 points is within 5.
    expect(judge(outcome(10_000, 0, 10), { maxDrop: 0.01 })).toMatchObject({ verdict: "kept", met: true });
    expect(judge(outcome(1000, 0, 50), { maxDrop: 0.05 }).met).toBe(true);
  });

  it("returns lost for a metric value that is not finite", () => {
    const rows = Float64Array.of(1, 2, 3);
    const broken = compareRows(crossEntropy(), rows, Float64Array.of(1, Number.NaN, 3));
    expect(judge(broken, { maxDrop: 100 })).toMatchObject({ verdict: "lost", met: false });
    const endless = compareRows(crossEntropy(), rows, Float64Array.of(1, Number.POSITIVE_INFINITY, 3));
    expect(judge(endless, { maxDrop: 100 })).toMatchObject({ verdict: "lost", met: false });
  });

  it("allows 0.01 by default, 0.1 dB, and 1 % more for unbounded errors", () => {
    const allowed = [
      accuracy(),
      cosine(),
      matthews(),
      crossEntropy(),
      peakSignalToNoise(),
      perplexity(),
      meanSquaredError(),
    ];
    expect(allowed.map((metric) => defaultDrop(metric, 20))).toEqual([0.01, 0.01, 0.01, 0.01, 0.1, 0.2, 0.2]);
  });

  it("requires enough samples to show that nothing is lost", () => {
    const verdict = judge(outcome(50, 0, 0), { maxDrop: 0.01 });
    expect(verdict).toMatchObject({ verdict: "undecided", met: true });
    expect(judge(outcome(381, 0, 0), { maxDrop: 0.01 }).verdict).toBe("kept");
    expect(judge(outcome(380, 0, 0), { maxDrop: 0.01 }).verdict).toBe("undecided");
  });

  it("reverses the sign for metrics where lower is better", () => {
    const original = Float64Array.from({ length: 100 }, (_, index) => 1 + (index % 5) / 10);
    const worse = compareRows(
      crossEntropy(),
      original,
      original.map((value, index) => value + 0.1 + (index % 2) / 100),
    );
    expect(worse.difference.value).toBeCloseTo(0.105, 12);
    expect(judge(worse, { maxDrop: 0.05 })).toMatchObject({ verdict: "lost", met: false });
    expect(judge(worse, { maxDrop: 0.2 })).toMatchObject({ verdict: "kept", met: true });
    expect(judge(worse, { maxDrop: 0.2 }).drop.value).toBeCloseTo(0.105, 12);
  });

  it("accepts metrics that only a bootstrap bounds", () => {
    const draw = random(4);
    const rows = Float64Array.from({ length: 200 }, (_, index) => (index % 2 === 0 ? 10 + draw.uniform() : 10));
    const worse = rows.map((value, index) => (index % 2 === 0 ? value + 0.5 : value));
    const comparison = compareRows(perplexity(), rows, worse);
    expect(comparison.difference.value).toBeGreaterThan(0);
    expect(judge(comparison, { maxDrop: 0.01 }).verdict).toBe("lost");
    expect(judge(comparison, { maxDrop: 1 }).verdict).toBe("kept");
  });

  it("rejects empty rows and rows of different lengths", () => {
    expect(() => compareRows(accuracy(), Float64Array.of(1), Float64Array.of(1, 0))).toThrow("got 1 and 2");
    expect(() => compareRows(accuracy(), new Float64Array(), new Float64Array())).toThrow("got 0 and 0");
  });
});
