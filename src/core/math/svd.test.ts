import { Matrix as OracleMatrix, SVD as OracleSvd } from "ml-matrix";
import { describe, expect, test } from "vitest";
import { matrixOf } from "../../../test/core/math/matrix-of.ts";
import { type GoldenTensor, golden, goldenNumber, goldenNumbers } from "../../../test/shared.ts";
import { random } from "../tensor/random.ts";
import {
  frobenius,
  identity,
  type Matrix,
  matrix,
  multiply,
  multiplyInJs,
  scaleColumns,
  subtract,
  transpose,
} from "./matrix.ts";
import { matrixRank, rankTolerance } from "./rank.ts";
import { singularValues, svd } from "./svd.ts";

function normal(rows: number, columns: number, seed: number): Matrix {
  const stream = random(seed);
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => stream.normal()),
  );
}

function diagonal(values: Float64Array): Matrix {
  return scaleColumns(identity(values.length), values);
}

/** Checks the properties of every decomposition: orthonormal columns, ordered singular values, a small residual. */
function expectDecomposition(source: Matrix, digits = 1e-13) {
  const { u, s, v } = svd(source);
  const count = Math.min(source.rows, source.columns);
  expect([u.rows, u.columns, s.length, v.rows, v.columns]).toEqual([source.rows, count, count, source.columns, count]);
  for (let index = 0; index < count; index++) {
    expect(s[index]).toBeGreaterThanOrEqual(0);
    if (index > 0) expect(s[index]).toBeLessThanOrEqual(s[index - 1] ?? 0);
  }
  const error = frobenius(subtract(multiply(scaleColumns(u, s), transpose(v)), source));
  expect(error).toBeLessThanOrEqual(digits * frobenius(source));
  for (const basis of [u, v]) {
    expect(frobenius(subtract(multiply(transpose(basis), basis), identity(count)))).toBeLessThan(1e-12);
  }
  const alone = singularValues(source);
  for (const [index, value] of alone.entries())
    expect(Math.abs(value - (s[index] ?? 0))).toBeLessThanOrEqual(1e-14 * (s[0] ?? 0));
  return s;
}

describe("svd", () => {
  test.each([
    [1, 1],
    [1, 7],
    [7, 1],
    [5, 5],
    [40, 25],
    [25, 40],
    [33, 33],
    [96, 96],
    [130, 70],
    [70, 131],
    [0, 3],
    [3, 0],
  ])("rebuilds a %d × %d matrix from orthonormal factors", (rows, columns) => {
    expectDecomposition(normal(rows, columns, rows * 100 + columns));
  });

  test("has orthonormal factors for zero, repeated and missing directions", () => {
    expectDecomposition(matrix(6, 4));
    expectDecomposition(identity(7));
    expectDecomposition(matrix(9, 5, new Float64Array(45).fill(2)));
    expectDecomposition(
      matrixOf([
        [0, 0, 0],
        [0, 5, 0],
        [0, 0, 0],
        [0, 0, 0],
      ]),
    );
    expectDecomposition(multiply(normal(30, 3, 1), normal(3, 20, 2)));
  });

  test("rebuilds larger matrices of zero, equal, paired or widely scaled values", () => {
    expectDecomposition(matrix(60, 50));
    expectDecomposition(identity(70));
    expectDecomposition(matrix(90, 70, new Float64Array(6300).fill(2)));
    expectDecomposition(multiply(normal(90, 3, 1), normal(3, 80, 2)));
    const pairs = normal(80, 40, 3);
    expectDecomposition(
      matrix(
        80,
        80,
        Float64Array.from({ length: 6400 }, (_, at) => pairs.data[at >> 1] ?? 0),
      ),
    );
    for (const ratio of [0.7, 0.1, 1e-8]) {
      const sizes = Float64Array.from({ length: 64 }, (_, index) => ratio ** index);
      expectDecomposition(scaleColumns(normal(64, 64, 4), sizes));
      expectDecomposition(matrix(64, 64, Float64Array.from(diagonal(sizes).data).reverse()));
    }
    const wilkinson = diagonal(Float64Array.from({ length: 61 }, (_, index) => Math.abs(index - 30)));
    for (let index = 0; index < 60; index++) wilkinson.data[index * 62 + 1] = 1;
    expectDecomposition(wilkinson);
  });

  test("uses an external product", async () => {
    const source = normal(120, 50, 5);
    let products = 0;
    const elsewhere = (a: Matrix, b: Matrix) => {
      products++;
      return multiplyInJs(a, b);
    };
    expect(await svd(source, elsewhere)).toEqual(svd(source));
    expect(await singularValues(source, elsewhere)).toEqual(singularValues(source));
    expect(products).toBeGreaterThan(20);
    await expect(svd(matrixOf([[Number.NaN]]), elsewhere)).rejects.toThrow(/finite/);
  });

  test.each([1e-310, 1e-300, 1e-160, 1e160, 1e300])("neither overflows nor underflows for elements near %d", (size) => {
    const source = normal(5, 4, 8);
    const scaled = matrix(
      5,
      4,
      source.data.map((value) => value * size),
    );
    const expected = singularValues(source);
    // Subnormal numbers have few digits.
    const digits = size < 1e-300 ? 1e-12 : 1e-14;
    for (const [index, value] of singularValues(scaled).entries()) {
      expect(Math.abs(value / size - (expected[index] ?? 0))).toBeLessThan(digits * (expected[0] ?? 0));
    }
  });

  test.each([1e-60, 1e-75, 1e-85, 1e-95])(
    "rebuilds a matrix with a block of elements near %d next to one near 1",
    (size) => {
      const { data } = normal(40, 40, 6);
      const factors = [1, 0, 0, size];
      const block = (index: number): number => (index < 20 ? 0 : 1);
      const blocks = data.map((x, at) => x * (factors[2 * block(Math.floor(at / 40)) + block(at % 40)] ?? 0));
      expectDecomposition(matrix(40, 40, blocks));
    },
  );

  test("rejects values that are not finite", () => {
    expect(() => svd(matrixOf([[1, Number.NaN]]))).toThrow(/finite/);
    expect(() => singularValues(matrixOf([[1], [Number.POSITIVE_INFINITY]]))).toThrow(/finite/);
  });

  test("finds the same singular values and leading direction as ml-matrix", () => {
    const source = normal(60, 35, 5);
    const rows = Array.from({ length: 60 }, (_, row) => [...source.data.subarray(row * 35, (row + 1) * 35)]);
    const oracle = new OracleSvd(new OracleMatrix(rows), { autoTranspose: true });
    const { s, v } = svd(source);
    for (const [index, value] of oracle.diagonal.entries()) expect(s[index]).toBeCloseTo(value, 12);
    const direction = oracle.rightSingularVectors.getColumn(0);
    const cosine = direction.reduce((sum, value, row) => sum + value * (v.data[row * 35] ?? 0), 0);
    expect(Math.abs(cosine)).toBeCloseTo(1, 12);
  });
});

interface GoldenMatrix {
  readonly kind: string;
  readonly matrix: GoldenTensor;
  readonly singular_values: GoldenTensor;
  readonly tolerance: number;
  readonly rank: number;
  readonly near_tolerance: boolean;
  readonly "rank_tol_1e-3"?: number;
}
const reference = golden<{ readonly matrices: readonly GoldenMatrix[] }>("lowrank");

describe.skipIf(reference === undefined)("singular values and rank against NumPy", () => {
  const cases = (reference?.matrices ?? []).map((entry, index) => {
    const [rows = 0, columns = 0] = entry.matrix.shape;
    const type = entry.matrix.dtype === "float32" ? ("float32" as const) : ("float64" as const);
    const numbers = goldenNumbers(entry.matrix);
    return {
      name: `${index}: ${type} ${entry.kind}`,
      entry,
      type,
      source: matrix(rows, columns, type === "float32" ? numbers.map(Math.fround) : numbers),
    };
  });

  test("reads more than 50 matrices from the reference file", () => expect(cases.length).toBeGreaterThan(50));

  test.each(cases)("gives equal singular values and rank for $name", ({ entry, type, source }) => {
    const expected = goldenNumbers(entry.singular_values);
    const s = expectDecomposition(source);
    const largest = expected[0] ?? 0;
    for (const [index, value] of expected.entries()) {
      expect(Math.abs((s[index] ?? 0) - value)).toBeLessThanOrEqual((type === "float32" ? 5e-6 : 1e-13) * largest);
    }
    const tolerance = goldenNumber(entry.tolerance);
    expect(Math.abs(rankTolerance(s, source.rows, source.columns, type) - tolerance)).toBeLessThanOrEqual(
      1e-5 * tolerance,
    );
    if (!entry.near_tolerance) expect(matrixRank(source, { type })).toBe(entry.rank);
    const fixed = entry["rank_tol_1e-3"];
    if (fixed !== undefined) expect(matrixRank(source, { tol: 1e-3 })).toBe(fixed);
  });
});
