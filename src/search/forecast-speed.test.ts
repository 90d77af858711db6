import { describe, expect, test } from "vitest";
import { createFinder, offer } from "../../test/search/combination.ts";
import { combineOffers, type Offer } from "./combinations.ts";
import { exponentOfSpeed, Forecast, type Trial } from "./forecast.ts";

const cut = (share: number): Offer => offer(`cut to ${share}`, "structure", { family: "cut", sizeShare: share });
const all = combineOffers([
  ...[0.9, 0.7, 0.5, 0.3].map(cut),
  offer("rank", "structure", { sizeShare: 0.5 }),
  offer("heal", "healing", { recovery: 0.5 }),
  offer("codes", "numbers", { sizeShare: 0.25 }),
]);
const named = createFinder(all);
const tried = (name: string, size: number, speed?: number): Trial => ({
  combination: named(name),
  tradeoff: { size, speed, drop: 0 },
});
const knowing = (...some: readonly Trial[]): Forecast => {
  const forecast = new Forecast({ size: 1000, speed: 1, drop: 0 }, 0.01);
  for (const tried of some) forecast.add(tried);
  return forecast;
};

describe("the exponent of speed", () => {
  test("is 0.6 before any measurement", () => {
    expect(exponentOfSpeed([])).toBeCloseTo(0.6, 12);
  });

  test("stays near 0.6 after mild pruning, and follows the measurement after strong pruning", () => {
    expect(exponentOfSpeed([{ share: 0.95, speed: 0.97 }])).toBeGreaterThan(0.45);
    const deep = exponentOfSpeed([{ share: 0.3, speed: 1 }]);
    expect(deep).toBeGreaterThan(0);
    expect(deep).toBeLessThan(0.05);
  });

  test("is the mean of prior and measurement, weighted by inverse variances", () => {
    const [depth, speed] = [Math.log(2), 1.2];
    const [before, precision] = [1 / 0.3 ** 2, (depth / 0.1) ** 2];
    const mean = (0.6 * before + (Math.log(speed) / depth) * precision) / (before + precision);
    expect(exponentOfSpeed([{ share: 0.5, speed }])).toBeCloseTo(mean, 12);
  });
});

describe("pruning", () => {
  test("is expected to be faster before any was timed", () => {
    expect(knowing().predict(named("cut to 0.5"))?.speed).toBeCloseTo(0.5 ** -0.6);
    expect(knowing(tried("cut to 0.9", 900)).predict(named("cut to 0.5"))?.speed).toBeCloseTo(0.5 ** -0.6);
  });

  test("is expected to be faster although the mildest pruning was not", () => {
    const { speed = 0 } = knowing(tried("cut to 0.9", 900, 0.999)).predict(named("cut to 0.3")) ?? {};
    expect(speed).toBeGreaterThan(1.4);
    expect(speed).toBeLessThan(0.3 ** -0.6);
  });

  test("is not expected to be faster after strong pruning of its family was not", () => {
    const forecast = knowing(tried("cut to 0.5", 500, 1));
    expect(forecast.predict(named("cut to 0.3"))?.speed).toBeLessThan(1.2);
    expect(forecast.predict(named("rank"))?.speed).toBeCloseTo(0.5 ** -0.6);
  });

  test("has its measured speed after recovery, and with another format", () => {
    const forecast = knowing(tried("codes", 250, 2), tried("cut to 0.9, codes", 225, 2.5));
    expect(forecast.predict(named("cut to 0.9"))?.speed).toBeCloseTo(1.25);
    expect(forecast.predict(named("cut to 0.9, heal, codes"))?.speed).toBeCloseTo(2.5);
    // Other amounts follow the exponent.
    expect(forecast.predict(named("cut to 0.7, codes"))?.speed).toBeGreaterThan(2.5);
  });

  test("has the mean of its measured speeds", () => {
    const forecast = knowing(tried("cut to 0.5", 500, 2), tried("cut to 0.5, heal", 500, 1.28));
    expect(forecast.predict(named("cut to 0.5, heal"))?.speed).toBeCloseTo(1.6);
  });

  test("gains less from a format if that was measured after other pruning", () => {
    const forecast = knowing(
      tried("codes", 250, 2),
      tried("cut to 0.5", 500, 1.5),
      tried("cut to 0.5, codes", 125, 1.2),
    );
    expect(forecast.predict(named("cut to 0.5, heal, codes"))?.speed).toBeCloseTo(1.2);
    const { speed = 0 } = forecast.predict(named("cut to 0.3")) ?? {};
    expect(forecast.predict(named("cut to 0.3, codes"))?.speed).toBeCloseTo(0.8 * speed);
    expect(forecast.predict(named("codes"))?.speed).toBe(2);
  });

  test("accelerates a slow format as much as the original", () => {
    const forecast = knowing(tried("codes", 250, 0.5), tried("cut to 0.5, codes", 125, 0.75));
    expect(forecast.predict(named("cut to 0.5"))?.speed).toBeCloseTo(1.5, 1);
  });
});

describe("a candidate with the file of another", () => {
  const same = (name: string, sameAs: string): Trial => ({ ...tried(name, 0), tradeoff: undefined, sameAs });
  const unchanged = (name: string): Trial => ({ combination: named(name), tradeoff: undefined, isUnchanged: true });

  test("excludes milder pruning if that file is the original's", () => {
    const forecast = knowing(unchanged("cut to 0.7"));
    expect(forecast.predict(named("cut to 0.9"))).toBeUndefined();
    expect(forecast.predict(named("cut to 0.7, codes"))).toBeUndefined();
    expect(forecast.predict(named("cut to 0.5"))?.size).toBeCloseTo((1000 * 0.5) / 0.7);
    expect(forecast.predict(named("rank"))?.size).toBe(500);
  });

  test("excludes milder pruning if that file has the format alone", () => {
    const forecast = knowing(tried("codes", 250), same("cut to 0.7, codes", "codes"));
    expect(forecast.predict(named("cut to 0.9"))).toBeUndefined();
    expect(forecast.predict(named("cut to 0.5"))).toBeDefined();
  });

  test("excludes pruning in between if that file is pruned less, and nothing milder", () => {
    const forecast = knowing(tried("cut to 0.7", 700), same("cut to 0.3", "cut to 0.7"));
    expect(forecast.predict(named("cut to 0.5, codes"))).toBeUndefined();
    expect(forecast.predict(named("cut to 0.3, codes"))).toBeUndefined();
    expect(forecast.predict(named("cut to 0.7, codes"))).toBeDefined();
    expect(forecast.predict(named("cut to 0.9"))).toBeDefined();
  });

  test("excludes nothing if that file is of another family", () => {
    const forecast = knowing(tried("rank", 500), same("cut to 0.5", "rank"));
    expect(forecast.predict(named("cut to 0.7"))).toBeDefined();
  });
});

test("expects a larger file for a format that was tried after pruning only", () => {
  const forecast = knowing(tried("cut to 0.5, codes", 245));
  expect(forecast.predict(named("codes"))?.size).toBeCloseTo(250 * 1.4);
  expect(forecast.predict(named("cut to 0.5, codes"))?.size).toBeCloseTo(245);
  expect(knowing(tried("codes", 260), tried("cut to 0.5, codes", 245)).predict(named("codes"))?.size).toBe(260);
});
