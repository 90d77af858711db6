import { expect, test } from "vitest";
import { expectedDrop } from "./scores.ts";

test("no answer changed: the drop is what was counted", () => {
  expect(expectedDrop({ drop: 0, changed: 0, samples: 100 })).toBe(0);
});

// d₂ = 0.4 · 0.1 = 0.04. Variances: 0.1 / 100 = 0.001; (0.15 · 0.1)² + 0.16 · 0.1 · 0.9 / 100 = 0.000225 + 0.000144 = 0.000369.
// Without a drop that was counted: 0.04 · 0.001 / (0.001 + 0.000369).
test("answers that change without a loss announce one: 0.4 of them, weighted by what is known of each", () => {
  expect(expectedDrop({ drop: 0, changed: 0.1, samples: 100 })).toBeCloseTo(0.029218, 6);
});

// Weights: 1000 of the counted drop, 1 / 0.000369 = 2710.03 of the share. (0.1 · 1000 + 0.04 · 2710.03) / 3710.03.
test("a loss that was counted on few samples is corrected towards that share", () => {
  expect(expectedDrop({ drop: 0.1, changed: 0.1, samples: 100 })).toBeCloseTo(0.056172, 6);
});

// Weights: 10^6 / 0.1 = 10^7, and 1 / (0.000225 + 0.0000000144) = 4444.16. 0.04 · 4444.16 / 10004444.16.
test("with very many samples what was counted is all that counts", () => {
  expect(expectedDrop({ drop: 0, changed: 0.1, samples: 1e6 })).toBeCloseTo(0.0000178, 7);
});

test("a loss of exactly that share is expected again", () => {
  expect(expectedDrop({ drop: 0.04, changed: 0.1, samples: 100 })).toBeCloseTo(0.04, 12);
});
