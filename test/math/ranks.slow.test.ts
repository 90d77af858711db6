import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { matrixRank } from "../../src/core/math/rank.ts";
import { rankCases } from "./matrices.ts";

/** Ranks from NumPy, which `npm run bench -- math --ranks test/math/ranks.json` writes. */
const numpy: { readonly ranks: readonly number[]; readonly near: readonly number[] } = JSON.parse(
  readFileSync(new URL("ranks.json", import.meta.url), "utf8"),
);

test("the ranks of a thousand matrices equal NumPy's, unless a singular value is within a factor of 4 of the tolerance", () => {
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
