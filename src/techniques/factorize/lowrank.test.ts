import { describe, expect, test } from "vitest";
import { type GoldenTensor, golden, goldenNumbers } from "../../../test/shared.ts";
import { frobenius, identity, type Matrix, matrix, multiply, subtract, transpose } from "../../core/math/matrix.ts";
import { random } from "../../core/tensor/random.ts";
import { squareRoot, type WeightFactors, whitenedSvd } from "./whiten.ts";

function normal(rows: number, columns: number, seed: number, deviation = 1): Matrix {
  const stream = random(seed);
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => stream.normal(0, deviation)),
  );
}

describe("whitenedSvd", () => {
  const gramOf = (inputs: Matrix) => multiply(transpose(inputs), inputs);
  const outputError = (inputs: Matrix, weight: Matrix, { left, right }: WeightFactors) =>
    frobenius(multiply(inputs, transpose(subtract(weight, multiply(left, right))))) ** 2;

  test("reports the error of the outputs, which is below that of plain truncation", async () => {
    const weight = normal(10, 8, 10);
    const inputs = multiply(normal(50, 8, 11), normal(8, 8, 12));
    const outputs = frobenius(multiply(inputs, transpose(weight))) ** 2;
    for (const rank of [1, 3, 7]) {
      const factors = await whitenedSvd(weight, await squareRoot(gramOf(inputs)), rank);
      const loss = factors.relativeError ** 2 * outputs;
      expect(outputError(inputs, weight, factors) / loss).toBeCloseTo(1, 9);
      expect(outputError(inputs, weight, await whitenedSvd(weight, identity(8), rank))).toBeGreaterThan(loss);
    }
  });

  test("accepts a singular Gram matrix of fewer samples than inputs, without damping", async () => {
    const weight = normal(30, 40, 13);
    const inputs = normal(12, 40, 14);
    const size = frobenius(multiply(inputs, transpose(weight))) ** 2;
    for (const rank of [4, 11, 12, 25]) {
      const factors = await whitenedSvd(weight, await squareRoot(gramOf(inputs)), rank);
      expect([factors.left.columns, factors.right.rows]).toEqual([rank, rank]);
      const error = outputError(inputs, weight, factors);
      expect(Math.abs(error - factors.relativeError ** 2 * size)).toBeLessThan(1e-12 * size);
      // Outputs of 12 samples have rank 12.
      if (rank >= 12) expect(error).toBeLessThan(1e-24 * size);
      else expect(error).toBeGreaterThan(1e-3 * size);
    }
    const never = await whitenedSvd(weight, matrix(40, 40), 5);
    expect(never.relativeError).toBe(0);
  });

  test("squareRoot of a Gram matrix times its transpose is the Gram matrix, singular or not", async () => {
    for (const rows of [5, 40, 70]) {
      const gram = gramOf(normal(rows, 40, rows));
      const root = await squareRoot(gram);
      expect(frobenius(subtract(multiply(root, transpose(root)), gram))).toBeLessThan(1e-13 * frobenius(gram));
    }
  });
});

interface GoldenLowRank {
  readonly whitened: readonly {
    readonly W: GoldenTensor;
    readonly X: GoldenTensor;
    readonly positive_definite: boolean;
    readonly added_to_diagonal: number;
    readonly ranks: readonly {
      readonly rank: number;
      readonly truncation_loss: number;
      readonly weight: GoldenTensor;
    }[];
  }[];
}
const reference = golden<GoldenLowRank>("lowrank");
const toMatrix = (tensor: GoldenTensor) => matrix(tensor.shape[0] ?? 0, tensor.shape[1] ?? 0, goldenNumbers(tensor));

describe.skipIf(reference === undefined)("low-rank factorization against SciPy", () => {
  test("whitenedSvd gives the same weights and loss", async () => {
    for (const { W, X, positive_definite, added_to_diagonal, ranks } of reference?.whitened ?? []) {
      const inputs = toMatrix(X);
      const gram = multiply(transpose(inputs), inputs);
      for (let index = 0; index < gram.rows; index++)
        gram.data[index * (gram.rows + 1)] = (gram.data[index * (gram.rows + 1)] ?? 0) + added_to_diagonal;
      for (const { rank, truncation_loss, weight } of ranks) {
        const root = await squareRoot(gram);
        const { left, right, relativeError } = await whitenedSvd(toMatrix(W), root, rank);
        const loss = (relativeError * frobenius(multiply(toMatrix(W), root))) ** 2;
        // A singular Gram matrix depends on its damping: its factor contains rounding noise.
        expect(Math.abs(loss - truncation_loss)).toBeLessThan(
          positive_definite ? 1e-9 * (truncation_loss + 1) : 1e-4 * (truncation_loss + 1),
        );
        const size = frobenius(toMatrix(weight));
        if (positive_definite)
          expect(frobenius(subtract(multiply(left, right), toMatrix(weight)))).toBeLessThan(1e-9 * size);
      }
    }
  });
});
