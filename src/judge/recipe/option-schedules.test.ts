import { describe, expect, test } from "vitest";
import { type OptionSchedule, valueInRound } from "./option-schedules.ts";

const values = (rounds: number, course: OptionSchedule) =>
  Array.from({ length: rounds }, (_, before) => valueInRound(before + 1, rounds, course));

describe("valueIn", () => {
  test("interpolates linearly by default", () => {
    expect(values(4, { from: 0.1, to: 0.5 })).toEqual([0.2, 0.3, 0.4, 0.5]);
    expect(values(3, { from: 9, to: 3, curve: "linear" })).toEqual([7, 5, 3]);
    expect(values(1, { from: 1, to: 5 })).toEqual([5]);
  });

  test('interpolates with "cubic" as Zhu and Gupta 2017: s_f + (s_i − s_f)(1 − t/n)³', () => {
    // 0.8 − 0.75 × 0.512, 0.8 − 0.75 × 0.216, 0.8 − 0.75 × 0.064, 0.8 − 0.75 × 0.008, 0.8
    expect(values(5, { from: 0.05, to: 0.8, curve: "cubic" })).toEqual([0.416, 0.638, 0.752, 0.794, 0.8]);
    expect(values(2, { from: 16, to: 0, curve: "cubic" })).toEqual([2, 0]);
  });

  test('multiplies by the same factor in each round with "exponential"', () => {
    expect(values(4, { from: 16, to: 1, curve: "exponential" })).toEqual([8, 4, 2, 1]);
    expect(values(2, { from: 0.0001, to: 0.01, curve: "exponential" })).toEqual([0.001, 0.01]);
    expect(values(2, { from: -1, to: -4, curve: "exponential" })).toEqual([-2, -4]);
  });

  test("accepts a function that returns the share of the change", () => {
    expect(values(4, { from: 10, to: 26, curve: (t) => t ** 2 })).toEqual([11, 14, 19, 26]);
  });
});

describe("valueIn rejects", () => {
  test.each([
    [{ from: 0, to: 0.8, curve: "exponential" }, '"exponential" does not lead from 0 to 0.8.'],
    [{ from: 0.8, to: 0, curve: "exponential" }, '"exponential" does not lead from 0.8 to 0.'],
    [{ from: -1, to: 1, curve: "exponential" }, '"exponential" does not lead from -1 to 1.'],
    [{ from: 0, to: 1, curve: (t: number) => 3 * t }, '"curve" gives shares from 0 to 1, got 1.5 at 0.5.'],
    [{ from: 0, to: 1, curve: () => Number.NaN }, '"curve" gives shares from 0 to 1, got NaN at 0.5.'],
  ] as const)("%j", (course, message) => {
    expect(() => values(2, course)).toThrow(expect.objectContaining({ code: "E_OPTION", message }));
  });
});
