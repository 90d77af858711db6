import { describe, expect, test } from "vitest";
import { type GoldenTensor, golden, goldenNumbers } from "../../../test/shared.ts";
import {
  frobenius,
  identity,
  type Matrix,
  matrix,
  multiply,
  multiplyInJs,
  scaleColumns,
  sliceColumns,
  subtract,
  transpose,
} from "../../core/math/matrix.ts";
import { energyShares, largestRankThatSaves, rankForEnergy, truncationError } from "../../core/math/rank.ts";
import { singularValues, svd } from "../../core/math/svd.ts";
import { random } from "../../core/tensor/random.ts";
import { orthonormalize, truncatedSvd } from "./truncate.ts";

function normal(rows: number, columns: number, seed: number): Matrix {
  const stream = random(seed);
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => stream.normal()),
  );
}

function rebuilt({ u, s, v }: { readonly u: Matrix; readonly s: Float64Array; readonly v: Matrix }): Matrix {
  return multiply(scaleColumns(u, s), transpose(v));
}

describe("truncatedSvd", () => {
  test.each([0, 1, 7, 20])("reports the error of its factors at rank %d", async (rank) => {
    const source = normal(30, 20, 1);
    const result = await truncatedSvd(source, rank);
    expect(result.method).toBe("exact");
    expect([result.u.columns, result.s.length, result.v.columns]).toEqual([rank, rank, rank]);
    expect(Math.abs(frobenius(subtract(source, rebuilt(result))) - result.error)).toBeLessThan(1e-12);
    expect(result.error).toBeCloseTo(truncationError(singularValues(source), rank), 12);
    expect(result.relativeError).toBeCloseTo(result.error / frobenius(source), 12);
  });

  test("is closer than random projections of the same rank", async () => {
    const source = normal(12, 9, 2);
    const { error } = await truncatedSvd(source, 3);
    for (let seed = 0; seed < 20; seed++) {
      const basis = await orthonormalize(multiply(source, normal(9, 3, 100 + seed)), multiplyInJs);
      expect(frobenius(subtract(source, multiply(basis, multiply(transpose(basis), source))))).toBeGreaterThan(error);
    }
  });

  test.each([-1, 1.5, 6, Number.NaN])("rejects rank %d of a 5 × 8 matrix", async (rank) => {
    await expect(truncatedSvd(normal(5, 8, 1), rank)).rejects.toThrow(/from 0 to 5/);
  });
});

describe("truncatedSvd with method randomized", () => {
  const decaying = (rows: number, columns: number, decay: (index: number) => number) => {
    const count = Math.min(rows, columns);
    const u = sliceColumns(svd(normal(rows, count, 11)).u, 0, count);
    const v = svd(normal(columns, count, 12)).u;
    const s = Float64Array.from({ length: count }, (_, index) => decay(index));
    return { source: multiply(scaleColumns(u, s), transpose(v)), s };
  };

  test("reports the error of its factors, which is close to the minimum", async () => {
    const { source, s } = decaying(150, 90, (index) => 1 / (1 + index));
    const result = await truncatedSvd(source, 12, { method: "randomized", seed: 4 });
    expect(result.method).toBe("randomized");
    expect(frobenius(subtract(source, rebuilt(result)))).toBeCloseTo(result.error, 10);
    const best = truncationError(s, 12);
    expect(result.error).toBeGreaterThanOrEqual(best * (1 - 1e-12));
    expect(result.error).toBeLessThan(best * 1.001);
    for (const basis of [result.u, result.v]) {
      expect(frobenius(subtract(multiply(transpose(basis), basis), identity(12)))).toBeLessThan(1e-12);
    }
  });

  test("has an error close to the minimum for a flat spectrum", async () => {
    const source = normal(140, 100, 5);
    const result = await truncatedSvd(source, 15, { method: "randomized" });
    expect(result.error / truncationError(singularValues(source), 15)).toBeLessThan(1.005);
  });

  test("is exact for a matrix of low rank, also at a higher rank", async () => {
    const source = multiply(normal(80, 4, 6), normal(4, 70, 7));
    for (const rank of [4, 9]) {
      const result = await truncatedSvd(source, rank, { method: "randomized" });
      expect(result.relativeError).toBeLessThan(1e-13);
      expect(frobenius(subtract(multiply(transpose(result.u), result.u), identity(rank)))).toBeLessThan(1e-12);
    }
  });

  test.each([
    ["a spectrum that falls by ten orders of magnitude", (index: number) => 10 ** (-index / 6)],
    ["a few large values above a flat remainder", (index: number) => (index < 5 ? 1e4 : 1)],
    ["two plateaus", (index: number) => (index < 20 ? 1 : 1e-9)],
  ])("has an error close to the minimum for %s", async (_, decay) => {
    const { source, s } = decaying(150, 60, decay);
    const [rows, columns] = [source, transpose(source)];
    for (const oriented of [rows, columns]) {
      const result = await truncatedSvd(oriented, 20, { method: "randomized" });
      expect(result.error / truncationError(s, 20)).toBeLessThan(1.01);
      expect(Math.abs(frobenius(subtract(oriented, rebuilt(result))) - result.error)).toBeLessThan(
        1e-14 * (s[0] ?? 0) + 1e-7 * result.error,
      );
      for (const basis of [result.u, result.v])
        expect(frobenius(subtract(multiply(transpose(basis), basis), identity(20)))).toBeLessThan(1e-12);
    }
  });

  test("gives equal factors for equal seeds only", async () => {
    const source = normal(60, 50, 8);
    const [a, b, c] = await Promise.all(
      [1, 1, 2].map((seed) => truncatedSvd(source, 5, { method: "randomized", seed })),
    );
    expect(a?.u.data).toEqual(b?.u.data);
    expect(a?.u.data).not.toEqual(c?.u.data);
  });

  test("uses the given product, and accepts extreme scales and zeros", async () => {
    let products = 0;
    const source = normal(50, 40, 9);
    const tiny = matrix(
      50,
      40,
      source.data.map((value) => value * 1e-200),
    );
    const result = await truncatedSvd(tiny, 5, {
      method: "randomized",
      multiply: (a, b) => {
        products++;
        return multiplyInJs(a, b);
      },
    });
    expect(products).toBeGreaterThan(5);
    expect((result.s[0] ?? 0) / 1e-200).toBeCloseTo(singularValues(source)[0] ?? 0, 3);
    expect((await truncatedSvd(matrix(50, 40), 3, { method: "randomized" })).error).toBe(0);
    await expect(
      truncatedSvd(matrix(2, 2, Float64Array.of(1, 2, 3, Number.NaN)), 1, { method: "randomized" }),
    ).rejects.toThrow(/finite/);
  });

  test("is the default for a large matrix, but not for a small one", async () => {
    const source = multiply(normal(610, 8, 13), normal(8, 620, 14));
    const result = await truncatedSvd(source, 8);
    expect(result.method).toBe("randomized");
    expect(result.relativeError).toBeLessThan(1e-13);
    expect((await truncatedSvd(normal(40, 700, 15), 8)).method).toBe("exact");
  });
});

describe("rankForEnergy", () => {
  test("rejects energies out of range", () => {
    for (const share of [0, -0.1, 1.01, Number.NaN]) {
      expect(() => rankForEnergy([1, 0.5], share)).toThrow(/above 0 and at most 1/);
    }
  });

  test("needs no zero singular values for all of the energy", () => {
    expect(rankForEnergy([0.7, 0.3, 0, 0], 1)).toBe(2);
    expect(rankForEnergy([0, 0], 0.9)).toBe(0);
    expect(rankForEnergy([0.5, 0.5], 0.5)).toBe(1);
  });
});

interface GoldenRanks {
  readonly truncation: readonly {
    readonly matrix: GoldenTensor;
    readonly by_rank: readonly { readonly rank: number; readonly error: number; readonly relative: number }[];
  }[];
  readonly energy: readonly {
    readonly matrix: GoldenTensor;
    readonly cases: readonly { readonly energy: number; readonly rank: number }[];
  }[];
  readonly ratio: readonly {
    readonly rows: number;
    readonly columns: number;
    readonly ratio: number;
    readonly rank: number;
    readonly largest_rank_that_saves: number;
  }[];
}
const reference = golden<GoldenRanks>("lowrank");

describe.skipIf(reference === undefined)("ranks and errors against NumPy", () => {
  const toMatrix = (tensor: GoldenTensor) => matrix(tensor.shape[0] ?? 0, tensor.shape[1] ?? 0, goldenNumbers(tensor));

  test("truncatedSvd gives equal errors by rank", async () => {
    for (const { matrix: tensor, by_rank } of reference?.truncation ?? []) {
      for (const { rank, error, relative } of by_rank) {
        const result = await truncatedSvd(toMatrix(tensor), rank);
        expect(Math.abs(result.error - error)).toBeLessThanOrEqual(1e-9 * error + 1e-15);
        expect(Math.abs(result.relativeError - relative)).toBeLessThanOrEqual(1e-9 * relative + 1e-15);
      }
    }
  });

  test("rankForEnergy gives equal ranks", async () => {
    for (const { matrix: tensor, cases } of reference?.energy ?? []) {
      const shares = await energyShares(toMatrix(tensor));
      expect(cases.map(({ energy }) => rankForEnergy(shares, energy))).toEqual(cases.map(({ rank }) => rank));
    }
  });

  test("largestRankThatSaves gives equal ranks", () => {
    for (const { rows, columns, largest_rank_that_saves } of reference?.ratio ?? []) {
      expect(largestRankThatSaves(rows, columns)).toBe(largest_rank_that_saves);
    }
  });
});
