import { expect, test } from "vitest";
import { Miss } from "../../core/errors.ts";
import {
  frobenius,
  identity,
  type Matrix,
  matrix,
  multiply,
  multiplyInJs,
  subtract,
  transpose,
} from "../../core/math/matrix.ts";
import { random } from "../../core/tensor/random.ts";
import { descend } from "../quantize/rounders/coordinate-descent.ts";
import { type InverseHessian, invertHessian, updateColumns } from "./optimal-brain-surgeon.ts";

function normal(rows: number, columns: number, seed: number): Matrix {
  const stream = random(seed);
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => stream.normal()),
  );
}

async function inverseOf(gram: Matrix): Promise<InverseHessian> {
  const result = await invertHessian(gram, multiplyInJs);
  if (result instanceof Miss) throw new Error(result.reason);
  return result;
}

test.each([1, 7, 130, 300])(
  "invertHessian of %d columns gives an upper triangular root of the damped inverse",
  async (size) => {
    const rows = normal(size + 20, size, size);
    const gram = multiply(transpose(rows), rows);
    const { upper } = await inverseOf(gram);
    const mean =
      Array.from({ length: size }, (_, at) => gram.data[at * (size + 1)] ?? 0).reduce((a, b) => a + b) / size;
    for (let at = 0; at < size; at++) gram.data[at * (size + 1)] = (gram.data[at * (size + 1)] ?? 0) + 0.01 * mean;
    expect(frobenius(subtract(multiply(multiply(transpose(upper), upper), gram), identity(size)))).toBeLessThan(1e-9);
    for (let row = 1; row < size; row++) expect(upper.data[row * size + row - 1]).toBe(0);
  },
);

test("updateColumns compensates in later columns as least squares does", async () => {
  const rows = normal(400, 150, 1);
  const gram = multiply(transpose(rows), rows);
  const weight = normal(3, 150, 2);
  const project = (_: number, __: number, column: number, value: number): number => (column < 20 ? 0 : value);
  const [result] = await updateColumns([weight], [await inverseOf(gram)], { project }, multiplyInJs);
  if (result === undefined) throw new Error("There is no answer.");
  // The gradient of ‖x wᵀ − x vᵀ‖² + λ ‖w − v‖² is 0 for free weights.
  const mean = Array.from({ length: 150 }, (_, at) => gram.data[at * 151] ?? 0).reduce((a, b) => a + b) / 150;
  for (let at = 0; at < 150; at++) gram.data[at * 151] = (gram.data[at * 151] ?? 0) + 0.01 * mean;
  const gradient = multiply(subtract(result, weight), gram);
  gradient.data.forEach((value, at) => {
    if (at % 150 >= 20) expect(Math.abs(value)).toBeLessThan(1e-9);
  });
});

test("invertHessian returns a miss if the Gram matrix is not finite", async () => {
  expect(await invertHessian(matrix(2, 2, Float64Array.of(1, 0, 0, Number.NaN)), multiplyInJs)).toBeInstanceOf(Miss);
});

test("descend reduces the error of rounded weights to a minimum for single changes", async () => {
  const rows = multiply(normal(300, 140, 4), normal(140, 140, 5));
  const gram = multiply(transpose(rows), rows);
  const weight = normal(5, 140, 6);
  const project = (_: number, __: number, value: number): number => Math.round(3 * value) / 3;
  const rounded = matrix(
    5,
    140,
    weight.data.map((value) => project(0, 0, value)),
  );
  const errorOf = (): number => {
    const change = subtract(rounded, weight);
    return multiply(change, gram).data.reduce((sum, value, at) => sum + value * (change.data[at] ?? 0), 0);
  };
  const errors = [errorOf()];
  for (let pass = 0; pass < 60; pass++) {
    const before = rounded.data.slice();
    await descend(weight, rounded, gram, project, multiplyInJs);
    errors.push(errorOf());
    if (before.every((value, at) => value === rounded.data[at])) break;
  }
  expect(errors[1] ?? 1).toBeLessThan(0.6 * (errors[0] ?? 0));
  for (const [at, error] of errors.slice(1).entries())
    expect(error).toBeLessThanOrEqual((errors[at] ?? 0) * (1 + 1e-9));
  for (let column = 0; column < 140; column++)
    for (const step of [-1 / 3, 1 / 3]) {
      rounded.data[column] = (rounded.data[column] ?? 0) + step;
      expect(errorOf()).toBeGreaterThan(errors.at(-1) ?? 0);
      rounded.data[column] = (rounded.data[column] ?? 0) - step;
    }
});
