import { expect, test } from "vitest";
import { estimateDrop } from "./measure-tradeoff.ts";

test("equals the measured drop if no prediction changed", () => {
  expect(estimateDrop({ drop: 0, changed: 0, samples: 100 })).toBe(0);
});

// d₂ = 0.4 · 0.1 = 0.04. Variances: 0.1 / 100 = 0.001; (0.15 · 0.1)² + 0.16 · 0.1 · 0.9 / 100 = 0.000225 + 0.000144 = 0.000369.
// With a measured drop of 0: 0.04 · 0.001 / (0.001 + 0.000369).
test("expects a drop of 0.4 of the changed predictions, weighted by its precision", () => {
  expect(estimateDrop({ drop: 0, changed: 0.1, samples: 100 })).toBeCloseTo(0.029218, 6);
});

// Weights: 1000 for the measured drop, 1 / 0.000369 = 2710.03 for the share. (0.1 · 1000 + 0.04 · 2710.03) / 3710.03.
test("corrects a drop on few samples towards 0.4 of the changed predictions", () => {
  expect(estimateDrop({ drop: 0.1, changed: 0.1, samples: 100 })).toBeCloseTo(0.056172, 6);
});

// Weights: 10^6 / 0.1 = 10^7, and 1 / (0.000225 + 0.0000000144) = 4444.16. 0.04 · 4444.16 / 10004444.16.
test("nearly equals the measured drop for very many samples", () => {
  expect(estimateDrop({ drop: 0, changed: 0.1, samples: 1e6 })).toBeCloseTo(0.0000178, 7);
});

test("equals the measured drop if that is 0.4 of the changed predictions", () => {
  expect(estimateDrop({ drop: 0.04, changed: 0.1, samples: 100 })).toBeCloseTo(0.04, 12);
});
