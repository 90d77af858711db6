import { describe, expect, test } from "vitest";
import { type GoldenTensor, golden, goldenNumbers } from "../../../test/shared.ts";
import { frobenius, identity, type Matrix, matrix, multiply, subtract, transpose } from "../../core/math/matrix.ts";
import { random } from "../../core/tensor/random.ts";
import { swapChannels, tucker2 } from "./tucker.ts";
import { squareRoot, type WeightFactors, whitenedSvd } from "./whiten.ts";

function normal(rows: number, columns: number, seed: number, deviation = 1): Matrix {
  const stream = random(seed);
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => stream.normal(0, deviation)),
  );
}

function rebuild({
  out,
  in: input,
  core,
}: {
  readonly out: Matrix;
  readonly in: Matrix;
  readonly core: Matrix;
}): Matrix {
  const half = multiply(out, core);
  return swapChannels(multiply(input, swapChannels(half, input.columns)), out.rows);
}

describe("tucker2", () => {
  test("reports the error of the rebuilt weight, with orthonormal factors", async () => {
    const weight = normal(9, 7 * 6, 6);
    const result = await tucker2(weight, 7, { rankOut: 4, rankIn: 3 });
    expect(frobenius(subtract(weight, rebuild(result))) / frobenius(weight)).toBeCloseTo(result.relativeError, 12);
    for (const basis of [result.out, result.in]) {
      expect(frobenius(subtract(multiply(transpose(basis), basis), identity(basis.columns)))).toBeLessThan(1e-12);
    }
    expect([result.core.rows, result.core.columns]).toEqual([4, 18]);
  });

  test("has no error at full ranks, also if an unfolding is narrower than the rank", async () => {
    const square = normal(5, 4 * 9, 7);
    expect(frobenius(subtract(square, rebuild(await tucker2(square, 4, { rankOut: 5, rankIn: 4 }))))).toBeLessThan(
      1e-12,
    );
    const pointwise = normal(8, 2, 8);
    const narrow = await tucker2(pointwise, 2, { rankOut: 6, rankIn: 2 });
    expect(frobenius(subtract(pointwise, rebuild(narrow)))).toBeLessThan(1e-12);
  });

  test("rejects ranks out of range, and columns that are not a multiple of the channels", async () => {
    await expect(tucker2(normal(4, 18, 9), 4, { rankOut: 1, rankIn: 1 })).rejects.toThrow(/not a multiple of 4/);
    await expect(tucker2(normal(4, 18, 9), 2, { rankOut: 5, rankIn: 1 })).rejects.toThrow(/output side is from 1 to 4/);
    await expect(tucker2(normal(4, 18, 9), 2, { rankOut: 1, rankIn: 0 })).rejects.toThrow(/input side is from 1 to 2/);
  });
});

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
  readonly tucker2: readonly {
    readonly weight: GoldenTensor;
    readonly cases: readonly {
      readonly rank_out: number;
      readonly rank_in: number;
      readonly hooi_error_by_iteration: readonly number[];
    }[];
  }[];
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
  test("tucker2 has the same error after the same number of iterations", async () => {
    for (const { weight, cases } of reference?.tucker2 ?? []) {
      const [rows = 0, inputs = 0, height = 0, width = 0] = weight.shape;
      const unfolded = matrix(rows, inputs * height * width, goldenNumbers(weight));
      for (const { rank_out, rank_in, hooi_error_by_iteration } of cases) {
        const { relativeError } = await tucker2(unfolded, inputs, { rankOut: rank_out, rankIn: rank_in });
        const expected = hooi_error_by_iteration[4] ?? Number.NaN;
        expect(Math.abs(relativeError - expected)).toBeLessThan(expected < 1e-7 ? 1e-7 : 1e-9);
      }
    }
  });

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
