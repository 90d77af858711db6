import { expect, test } from "vitest";
import { matrixOf } from "../../../test/core/math/matrix-of.ts";
import { float32, int64 } from "../tensor/dense.ts";
import { random } from "../tensor/random.ts";
import {
  frobenius,
  fromDense,
  identity,
  largestMagnitude,
  matrix,
  multiply,
  scaleColumns,
  scaleRows,
  sliceColumns,
  transpose,
} from "./matrix.ts";

function normal(rows: number, columns: number, seed: number) {
  const stream = random(seed);
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => stream.normal()),
  );
}

test.each([
  [1, 1, 1],
  [3, 5, 2],
  [7, 130, 6],
  [33, 600, 70],
  [4, 0, 3],
  [0, 4, 3],
  [2, 3, 0],
])("multiply of %d × %d by %d equals the sum of products", (rows, inner, columns) => {
  const a = normal(rows, inner, 1);
  const b = normal(inner, columns, 2);
  const product = multiply(a, b);
  expect([product.rows, product.columns]).toEqual([rows, columns]);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) sum += (a.data[row * inner + k] ?? 0) * (b.data[k * columns + column] ?? 0);
      expect(product.data[row * columns + column]).toBeCloseTo(sum, 10);
    }
  }
});

test("matrix, multiply and fromDense reject inconsistent dimensions", () => {
  expect(() => multiply(normal(2, 3, 1), normal(2, 3, 2))).toThrow("2 × 3 times 2 × 3: inner dimensions differ.");
  expect(() => matrix(2, 2, new Float64Array(3))).toThrow(/takes 4 numbers, got 3/);
  expect(() => fromDense(float32([], [1]))).toThrow(/an axis or more, got float32\[\]/);
});

test("transpose twice returns the matrix, also beyond one block", () => {
  const source = normal(70, 41, 3);
  const flipped = transpose(source);
  expect([flipped.rows, flipped.columns, flipped.data[3 * 70 + 50]]).toEqual([41, 70, source.data[50 * 41 + 3]]);
  expect(transpose(flipped)).toEqual(source);
});

test("fromDense makes rows of the first axis and columns of the others", () => {
  const dense = float32(
    [2, 3, 2],
    Array.from({ length: 12 }, (_, index) => index),
  );
  expect([fromDense(dense).rows, fromDense(dense).columns]).toEqual([2, 6]);
  expect(fromDense(int64([1, 2], [3, 4])).data).toEqual(Float64Array.of(3, 4));
});

test("scaleColumns and scaleRows multiply by a diagonal, and sliceColumns selects columns", () => {
  const source = matrixOf([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  expect(scaleColumns(source, [1, 10, 100]).data).toEqual(Float64Array.of(1, 20, 300, 4, 50, 600));
  expect(scaleRows(source, [2, -1]).data).toEqual(Float64Array.of(2, 4, 6, -4, -5, -6));
  expect(sliceColumns(source, 1, 3).data).toEqual(Float64Array.of(2, 3, 5, 6));
  expect(multiply(source, identity(3))).toEqual(source);
});

test("frobenius and largestMagnitude keep extreme values and NaN", () => {
  expect(frobenius(matrixOf([[3e200, 4e200]]))).toBeCloseTo(5e200, -188);
  expect(frobenius(matrixOf([[3e-200], [4e-200]])) / 1e-200).toBeCloseTo(5, 12);
  expect(frobenius(matrix(2, 2))).toBe(0);
  expect(largestMagnitude(matrixOf([[1, Number.NaN, 3]]))).toBeNaN();
  expect(largestMagnitude(matrixOf([[1, -5, 3]]))).toBe(5);
});
