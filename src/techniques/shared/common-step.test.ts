import { expect, test } from "vitest";
import { random } from "../../core/tensor/random.ts";
import { commonSteps, subdivisionOf } from "./common-step.ts";

const steps = (values: readonly number[], most = 255): number =>
  commonSteps(Float32Array.from(values), 0, 1, 0, values.length, Math.fround(Math.max(...values.map(Math.abs))), most);

test.each([
  ["integers", [3, -100, 0, 7], 100],
  ["multiples of a step that float32 rounds", [3, -100, 0, 7].map((value) => value * 0.0173), 100],
  ["values with a common step of half the maximum", [50, -100, 0, 100], 2],
  ["one nonzero value", [0, 0, 0.37], 1],
  ["zeros only", [0, 0], 0],
  ["an empty slice", [], 0],
  ["NaN", [1, Number.NaN], 0],
  ["infinity", [1, Number.POSITIVE_INFINITY], 0],
  ["more steps than the maximum", [1, 300], 0],
  ["one value off the grid", [3, -100, 0, 7.5001], 0],
])("commonSteps of %s", (_, values, expected) => {
  expect(steps(values)).toBe(expected);
});

test("commonSteps finds no grid for random values, sparse ones included", () => {
  const numbers = random(1);
  for (let round = 0; round < 200; round++) {
    expect(steps(Array.from({ length: 27 }, () => numbers.normal()))).toBe(0);
    expect(steps(Array.from({ length: 500 }, () => (numbers.integer(40) === 0 ? numbers.normal() : 0)))).toBe(0);
  }
});

test("commonSteps reads strided slices", () => {
  const columns = Float32Array.of(3, 0.1, -100, 0.21, 7, 0.32);
  expect(commonSteps(columns, 0, 3, 2, 1, 100, 127)).toBe(100);
  expect(commonSteps(columns, 1, 3, 2, 1, Math.fround(0.32), 31)).toBe(0);
  expect(commonSteps(columns, 1, 3, 2, 1, Math.fround(0.32), 127)).toBe(32);
});

test("cutsOf divides a step by powers of two within the range", () => {
  expect([100, 64, 63, 1].map((count) => subdivisionOf(count, 127))).toEqual([1, 1, 2, 64]);
});
