import { expect, test } from "vitest";
import { random } from "./random.ts";

test("random gives the same numbers for a name on every machine", () => {
  const stream = random(1, "weights", 2);
  // These values were recorded once. Integer and correctly rounded arithmetic cannot give other values.
  expect([stream.bits(), stream.bits(), stream.bits()]).toEqual([341681693, 1632413962, 3882426477]);
  expect([stream.uniform(), stream.normal(), stream.normal()]).toEqual([
    0.9076350665111005, 2.355577369092496, -0.7246814020165506,
  ]);
});

test("random gives different numbers for different streams, seeds and types of names", () => {
  const names = [
    [1],
    [2],
    [-1],
    [1.5],
    [1, 0],
    [1, "0"],
    [1, "a", "bc"],
    [1, "ab", "c"],
    [1, ""],
    [2 ** 40 + 1],
  ] as const;
  const firsts = names.map(([seed, ...stream]) => random(seed, ...stream).bits());
  expect(new Set(firsts).size).toBe(names.length);
});

test("uniform gives values in [low, high) with the right mean and variance", () => {
  const stream = random(7);
  const values = Array.from({ length: 40_000 }, () => stream.uniform(-2, 4));
  expect(Math.min(...values.slice(0, 30_000))).toBeGreaterThanOrEqual(-2);
  expect(Math.max(...values.slice(0, 30_000))).toBeLessThan(4);
  const { mean, variance } = moments(values);
  expect(mean).toBeCloseTo(1, 1);
  expect(variance).toBeCloseTo(3, 0);
});

test("normal gives values with the moments and tails of the normal distribution", () => {
  const stream = random(3, "normal");
  const values = Array.from({ length: 200_000 }, () => stream.normal());
  const { mean, variance, kurtosis } = moments(values);
  expect(Math.abs(mean)).toBeLessThan(0.01);
  expect(Math.abs(variance - 1)).toBeLessThan(0.015);
  expect(Math.abs(kurtosis - 3)).toBeLessThan(0.07);
  const within = (limit: number) => values.filter((value) => Math.abs(value) < limit).length / values.length;
  expect(Math.abs(within(1) - 0.682689)).toBeLessThan(0.005);
  expect(Math.abs(within(3) - 0.9973)).toBeLessThan(0.001);
});

test("random gives uncorrelated first numbers for adjacent seeds and streams", () => {
  const pairs = Array.from({ length: 20_000 }, (_, seed) => [
    random(seed).uniform() - 0.5,
    random(seed + 1).uniform() - 0.5,
  ]);
  const correlation = pairs.reduce((sum, [a = 0, b = 0]) => sum + a * b, 0) / pairs.length / (1 / 12);
  expect(Math.abs(correlation)).toBeLessThan(0.025);
  const bitsSet = new Float64Array(32);
  for (let stream = 0; stream < 4000; stream++) {
    const bits = random(1, "s", stream).bits();
    for (let bit = 0; bit < 32; bit++) bitsSet[bit] = (bitsSet[bit] ?? 0) + ((bits >>> bit) & 1);
  }
  for (const count of bitsSet) expect(Math.abs(count / 4000 - 0.5)).toBeLessThan(0.04);
});

test("integer gives equally likely values", () => {
  const stream = random(5);
  const counts = new Float64Array(7);
  for (let draw = 0; draw < 70_000; draw++) {
    const value = stream.integer(7);
    counts[value] = (counts[value] ?? 0) + 1;
  }
  const chiSquare = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
  expect(chiSquare).toBeLessThan(22.5); // 99.9 % quantile at 6 degrees of freedom
  expect(() => stream.integer(0)).toThrow(/from 1 to 2\^32/);
  expect(() => stream.integer(2.5)).toThrow();
});

test("permutation contains every index once, with any index first", () => {
  const stream = random(11, "order");
  expect([...stream.permutation(50)].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index));
  expect([...stream.permutation(0)]).toEqual([]);
  expect(new Set(Array.from({ length: 200 }, () => stream.permutation(5)[0])).size).toBe(5);
});

function moments(values: readonly number[]) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const central = (power: number) => values.reduce((sum, value) => sum + (value - mean) ** power, 0) / values.length;
  return { mean, variance: central(2), kurtosis: central(4) / central(2) ** 2 };
}
