import { expect, test } from "vitest";
import { goalUnit, goalValue, lossOf, usualGoal } from "./goal.ts";

const accuracy = { unit: "share", better: "higher" } as const;
const error = { unit: "", better: "lower" } as const;

test("a loss of accuracy is stated in points", () => {
  expect(goalUnit(accuracy)).toBe("points");
  expect(lossOf(1.5, accuracy)).toBeCloseTo(0.015);
  expect(goalValue(0.9, 1, accuracy)).toBeCloseTo(0.89);
  expect(usualGoal(accuracy, 0.9)).toBe(1);
});

test("a loss of another metric has the metric's unit, and lies above the original if lower is better", () => {
  expect(goalUnit({ unit: "nats" })).toBe("nats");
  expect(goalValue(20, 0.5, error)).toBe(20.5);
  expect(usualGoal(error, 20)).toBe(0.2);
  expect(usualGoal({ unit: "dB", better: "higher" }, 30)).toBe(0.1);
});
