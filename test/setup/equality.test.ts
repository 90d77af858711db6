import { expect, test } from "vitest";

const numbers = (count: number, last = 0): Float32Array => Float32Array.from({ length: count }, (_, at) => last * at);

test("typed arrays with the same bytes are equal, also nested and at any length", () => {
  expect({ data: numbers(2e6, 1) }).toEqual({ data: numbers(2e6, 1) });
  expect(numbers(4, Number.NaN)).toEqual(numbers(4, Number.NaN));
  expect(numbers(9, 1).subarray(0, 3)).toEqual(numbers(3, 1));
});

test("typed arrays with different numbers, lengths or types are not equal", () => {
  expect({ data: numbers(4, 1) }).not.toEqual({ data: numbers(4, 2) });
  expect(numbers(4)).not.toEqual(numbers(5));
  expect(numbers(4)).not.toEqual(Int32Array.from(numbers(4)));
  expect([0]).not.toEqual(Float32Array.of(0));
  expect(Float32Array.of(0)).not.toEqual(Float32Array.of(-0));
});
