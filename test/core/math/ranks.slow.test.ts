import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { matrixRank } from "../../../src/core/math/rank.ts";
import { rankCases } from "./matrices.ts";

/** Ranks from NumPy, which `npm run bench -- math --ranks test/core/math/ranks.json` writes. */
const numpy: { readonly ranks: readonly number[]; readonly near: readonly number[] } = JSON.parse(
  readFileSync(new URL("ranks.json", import.meta.url), "utf8"),
);

test("matrixRank equals NumPy's for 1,000 matrices without a singular value near the tolerance", () => {
  const differences: string[] = [];
  const near = new Set(numpy.near);
  for (const [index, { kind, type, source }] of [...rankCases()].entries()) {
    const expected = numpy.ranks[index];
    if (near.has(index)) continue;
    const rank = matrixRank(source, { type });
    if (rank !== expected)
      differences.push(`${index}: ${kind}, ${source.rows} × ${source.columns}: ${rank}, NumPy ${expected}`);
  }
  expect(differences).toEqual([]);
  expect([numpy.ranks.length, numpy.ranks.length - near.size > 800]).toEqual([1000, true]);
});
