import { expect, test } from "vitest";
import fc from "../../../test/property.ts";
import { linearScale, spreadOut, ticksOf } from "./axes.ts";

test("ticks returns round numbers within the range", () => {
  expect(ticksOf(0, 3.67, 6)).toEqual([0, 1, 2, 3]);
  expect(ticksOf(0.897, 0.951, 5)).toEqual([0.9, 0.92, 0.94]);
  expect(ticksOf(-0.3, 0.31, 6)).toEqual([-0.2, 0, 0.2]);
  expect(ticksOf(0.5, 0.5, 5)).toEqual([0.5]);
});

test("linear maps ends of a range to the ends, and single points to the middle", () => {
  const scale = linearScale(10, 20, 100, 0);
  expect([10, 15, 20].map(scale)).toEqual([100, 50, 0]);
  expect(linearScale(3, 3, 0, 10)(3)).toBe(5);
});

test("spreadOut moves only labels that collide, around their preferred positions", () => {
  expect(spreadOut([10, 50], 15, 0, 100)).toEqual([10, 50]);
  expect(spreadOut([50, 50, 50], 10, 0, 100)).toEqual([40, 50, 60]);
  expect(spreadOut([0, 0], 10, 0, 100)).toEqual([0, 10]);
  expect(spreadOut([98, 20, 99], 10, 0, 100)).toEqual([90, 20, 100]);
});

test("spreadOut keeps labels in order, apart from each other and inside the range", () => {
  const preferred = fc.array(fc.double({ min: 0, max: 300, noNaN: true }), { maxLength: 15 });
  fc.assert(
    fc.property(preferred, (places) => {
      const positions = spreadOut(places, 17, 0, 300);
      const order = places.map((_, index) => index).sort((a, b) => (places[a] ?? 0) - (places[b] ?? 0) || a - b);
      const sorted = order.map((index) => positions[index] ?? Number.NaN);
      sorted.forEach((place, index) => {
        expect(place).toBeGreaterThanOrEqual(-1e-9);
        expect(place).toBeLessThanOrEqual(300 + 1e-9);
        if (index > 0) expect(place - (sorted[index - 1] ?? 0)).toBeGreaterThanOrEqual(17 - 1e-9);
      });
    }),
    { numRuns: 300, seed: 1 },
  );
});
