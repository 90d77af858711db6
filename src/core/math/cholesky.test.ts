import { describe, expect, test } from "vitest";
import { matrixOf } from "../../../test/core/math/matrix-of.ts";
import { Miss } from "../errors.ts";
import { random } from "../tensor/random.ts";
import { cholesky, invert, solveCholesky } from "./cholesky.ts";
import { frobenius, identity, type Matrix, matrix, multiply, multiplyInJs, subtract, transpose } from "./matrix.ts";
import { runSteps } from "./steps.ts";

function normal(rows: number, columns: number, seed: number): Matrix {
  const stream = random(seed);
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => stream.normal()),
  );
}

function factorOf(source: Matrix): Matrix {
  const factor = cholesky(source);
  if (factor instanceof Miss) throw new Error(factor.reason);
  return factor;
}

describe("Cholesky factorization", () => {
  test.each([1, 2, 5, 40, 64, 65, 200])("factors, solves and inverts a Gram matrix of %d rows", async (size) => {
    const tall = normal(size + 10, size, size);
    const gram = multiply(transpose(tall), tall);
    const lower = factorOf(gram);
    for (let row = 0; row < size; row++) {
      for (let column = row + 1; column < size; column++) expect(lower.data[row * size + column]).toBe(0);
    }
    expect(frobenius(subtract(multiply(lower, transpose(lower)), gram))).toBeLessThan(1e-13 * frobenius(gram));
    const right = normal(size, 3, 7);
    expect(frobenius(subtract(multiply(gram, solveCholesky(lower, right)), right))).toBeLessThan(1e-9);
    expect(
      frobenius(subtract(multiply(lower, await runSteps(invert(lower), multiplyInJs)), identity(size))),
    ).toBeLessThan(1e-10);
  });

  test("accepts an external product, and names a pivot that fails after the first block", async () => {
    const tall = normal(170, 150, 3);
    const gram = multiply(transpose(tall), tall);
    const lower = factorOf(gram);
    const right = normal(150, 4, 5);
    expect(await cholesky(gram, multiplyInJs)).toEqual(lower);
    expect(await runSteps(invert(lower), multiplyInJs)).toEqual(runSteps(invert(lower), undefined));
    expect(await solveCholesky(lower, right, multiplyInJs)).toEqual(solveCholesky(lower, right));
    gram.data[100 * 151] = -1;
    expect(cholesky(gram)).toMatchObject({ reason: expect.stringContaining("pivot 100 of 150") });
  });

  test("reads only the lower triangle", () => {
    expect(
      cholesky(
        matrixOf([
          [4, 99],
          [2, 5],
        ]),
      ),
    ).toEqual(
      matrixOf([
        [2, 0],
        [1, 2],
      ]),
    );
  });

  test.each([
    [
      "indefinite",
      [
        [1, 2],
        [2, 1],
      ],
      1,
    ],
    [
      "singular",
      [
        [1, 1],
        [1, 1],
      ],
      1,
    ],
    ["negative", [[-1]], 0],
    ["zero", [[0]], 0],
    [
      "not a number",
      [
        [1, 0],
        [Number.NaN, 1],
      ],
      1,
    ],
    ["infinite", [[Number.POSITIVE_INFINITY]], 0],
  ] as const)("returns a miss that names the pivot if a matrix is %s", (_, rows, pivot) => {
    const answer = cholesky(matrixOf(rows));
    expect(answer).toBeInstanceOf(Miss);
    expect(answer instanceof Miss && answer.reason).toContain(`pivot ${pivot} of`);
  });

  test("rejects inconsistent shapes", () => {
    expect(() => cholesky(matrix(2, 3))).toThrow(/square/);
    expect(() => solveCholesky(identity(3), matrix(2, 1))).toThrow(/3 right-hand rows, got 2/);
  });
});
