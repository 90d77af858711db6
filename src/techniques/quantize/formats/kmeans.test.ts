import { describe, expect, test } from "vitest";
import fc from "../../../../test/property.ts";
import { type GoldenTensor, golden, goldenNumbers } from "../../../../test/shared.ts";
import { assign, kmeans } from "./kmeans.ts";

const squaredError = (numbers: ArrayLike<number>, centroids: Float64Array): number =>
  assign(numbers, centroids).reduce((sum, own, at) => sum + ((numbers[at] ?? 0) - (centroids[own] ?? 0)) ** 2, 0);

describe("kmeans", () => {
  test("finds well-separated groups", () => {
    const numbers = [0, 0.1, -0.1, 10, 10.1, 9.9, 20, 20.2];
    const centroids = kmeans(numbers, 3);
    expect([...centroids].map((value) => Number(value.toFixed(6)))).toEqual([0, 10, 20.1]);
    expect([...assign(numbers, centroids)]).toEqual([0, 0, 0, 1, 1, 1, 2, 2]);
  });

  test("assigns each value the nearest centroid, which is the mean of its values", () => {
    // Multiples of 1e-4, because sums of subnormal numbers lose their order.
    const number = fc.integer({ min: -1e6, max: 1e6 }).map((steps) => steps / 1e4);
    const numbers = fc.array(number, { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(numbers, fc.integer({ min: 1, max: 9 }), (values, clusters) => {
        const centroids = kmeans(values, clusters);
        const assignment = assign(values, centroids);
        for (const [index, value] of values.entries()) {
          const distance = Math.abs(value - (centroids[assignment[index] ?? 0] ?? 0));
          expect(distance).toBeLessThanOrEqual(
            Math.min(...Array.from(centroids, (centroid) => Math.abs(value - centroid))) + 1e-13,
          );
        }
        for (const [cluster, centroid] of centroids.entries()) {
          const members = values.filter((_, index) => assignment[index] === cluster);
          if (members.length > 0)
            expect(centroid).toBeCloseTo(members.reduce((sum, value) => sum + value, 0) / members.length, 9);
          if (cluster > 0) expect(centroid).toBeGreaterThanOrEqual(centroids[cluster - 1] ?? 0);
        }
      }),
    );
  });

  test("has no error if there are more clusters than distinct values", () => {
    const centroids = kmeans([1, 1, 2, 2, 2], 5);
    expect(squaredError([1, 1, 2, 2, 2], centroids)).toBe(0);
    expect(centroids.length).toBe(5);
    expect(squaredError([7, 7], kmeans([7, 7], 3))).toBe(0);
  });

  test("assigns a tie to the lower centroid, and values between equal centroids by side", () => {
    expect([...assign([0, 1, 1.4, 1.6, 3], Float64Array.of(1, 1, 2))]).toEqual([0, 0, 1, 2, 2]);
    expect([...assign([1.5], Float64Array.of(1, 2))]).toEqual([0]);
  });

  test("rejects values that cannot be clustered", () => {
    expect(() => kmeans([], 2)).toThrow(/at least one/);
    expect(() => kmeans([1, Number.NaN], 2)).toThrow(/finite/);
    expect(() => kmeans([Number.NEGATIVE_INFINITY, 1], 2)).toThrow(/finite/);
    expect(() => kmeans([1], 0)).toThrow(/positive/);
  });
});

interface GoldenPalette {
  readonly w: GoldenTensor;
  readonly clusters: number;
  readonly centroids: GoldenTensor;
  readonly assignment: readonly number[];
  readonly sse_by_iteration: readonly number[];
}
const reference = golden<{ readonly palette: readonly GoldenPalette[] }>("quantization");

describe.skipIf(reference === undefined)("kmeans against NumPy", () => {
  test.each((reference?.palette ?? []).map((entry) => [entry.clusters, entry] as const))(
    "gives equal results for %d clusters",
    (clusters, entry) => {
      const numbers = goldenNumbers(entry.w);
      const centroids = kmeans(numbers, clusters);
      for (const [index, centroid] of goldenNumbers(entry.centroids).entries())
        expect(centroids[index]).toBeCloseTo(centroid, 12);
      expect([...assign(numbers, centroids)]).toEqual(entry.assignment);
      expect(squaredError(numbers, centroids)).toBeCloseTo(entry.sse_by_iteration.at(-1) ?? Number.NaN, 10);
    },
  );
});
