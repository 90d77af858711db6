import { expect, test } from "vitest";
import { matrixOf } from "../../../test/core/math/matrix-of.ts";
import { random } from "../tensor/random.ts";

import { matrix, multiplyInJs, transpose } from "./matrix.ts";
import { energyShares } from "./rank.ts";
import { singularValues } from "./svd.ts";

const normal = (rows: number, columns: number, scale = 1) => {
  const numbers = random(rows * columns, "energies");
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, () => scale * numbers.normal()),
  );
};

test.each([
  [7, 3, 1],
  [3, 7, 1],
  [40, 40, 1],
  [1, 5, 1],
  [60, 50, 1e-200],
  [20, 30, 1e150],
])("energyShares of %i × %i numbers near %d are the squared singular values", async (rows, columns, scale) => {
  const shares = await energyShares(normal(rows, columns, scale));
  const s = singularValues(normal(rows, columns));
  const total = s.reduce((sum, value) => sum + value * value, 0);
  expect(shares).toHaveLength(Math.min(rows, columns));
  shares.forEach((share, index) => {
    expect(share).toBeCloseTo((s[index] ?? 0) ** 2 / total, 12);
  });
});

test("energyShares has zeros beyond the rank of a matrix", async () => {
  const product = await multiplyInJs(normal(50, 2), transpose(normal(40, 2)));
  const shares = await energyShares(product);
  expect([...shares].filter((share) => share > 0)).toHaveLength(2);
  expect([...(await energyShares(matrix(3, 2)))]).toEqual([0, 0]);
  expect([
    ...(await energyShares(
      matrixOf([
        [3, 0],
        [0, 4],
      ]),
    )),
  ]).toEqual([expect.closeTo(0.64), expect.closeTo(0.36)]);
});

test.each([1e-8, 1e-15, 1e-20])("energyShares ignores rows of numbers near %d", async (small) => {
  const { rows, columns, data } = normal(128, 128);
  const dead = matrix(
    rows,
    columns,
    data.map((value, index) => (index < 19 * columns ? value : small * value)),
  );
  const shares = await energyShares(dead);
  expect([...shares].filter((share) => share > 0)).toHaveLength(19);
  expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 12);
});

test("energyShares rejects NaN", async () => {
  await expect(energyShares(matrixOf([[1, Number.NaN]]))).rejects.toMatchObject({ code: "E_DATA" });
});
