import { type Matrix, matrix } from "../../../src/core/math/matrix.ts";

export function matrixOf(rows: readonly (readonly number[])[]): Matrix {
  return matrix(rows.length, rows[0]?.length ?? 0, Float64Array.from(rows.flat()));
}
