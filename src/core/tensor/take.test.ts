import { expect, test } from "vitest";
import { fromNumbers, toNumbers } from "./convert.ts";
import { float32 } from "./dense.ts";
import { takeIndices } from "./take.ts";

const cube = Array.from({ length: 12 }, (_, index) => index - 6);

test("takeIndices selects along any axis in the requested order", () => {
  const dense = float32([2, 3, 2], cube);
  expect(takeIndices(dense, 0, [1])).toEqual(float32([1, 3, 2], cube.slice(6)));
  expect(takeIndices(dense, 1, [2, 0])).toEqual(float32([2, 2, 2], [-2, -1, -6, -5, 4, 5, 0, 1]));
  expect(takeIndices(dense, 2, [1])).toEqual(float32([2, 3, 1], [-5, -3, -1, 1, 3, 5]));
  expect(takeIndices(dense, 1, [])).toEqual(float32([2, 0, 2], []));
});

test.each(["int4", "uint8", "float16", "int64", "bfloat16", "float64"] as const)(
  "takeIndices keeps elements of %s",
  (type) => {
    const numbers = [1, 2, 3, 4, 5, 6, 7, 0, 1];
    const result = takeIndices(fromNumbers(type, [3, 3], numbers), 1, [0, 2]);
    expect(result.type).toBe(type);
    expect(result.dims).toEqual([3, 2]);
    expect(toNumbers(result)).toEqual([1, 3, 4, 6, 7, 1]);
  },
);

test("takeIndices keeps negative int4 values", () => {
  expect(toNumbers(takeIndices(fromNumbers("int4", [2, 3], [-8, -1, 7, -5, 0, -2]), 1, [2, 0]))).toEqual([
    7, -8, -2, -5,
  ]);
});

test("takeIndices keeps strings", () => {
  expect(takeIndices({ type: "string", dims: [2, 2], data: ["a", "b", "c", "d"] }, 0, [1])).toEqual({
    type: "string",
    dims: [1, 2],
    data: ["c", "d"],
  });
});

test("takeIndices does not share memory with the source", () => {
  const dense = float32([2], [1, 2]);
  const result = takeIndices(dense, 0, [0, 1]);
  dense.data[0] = 9;
  expect(toNumbers(result)).toEqual([1, 2]);
});
