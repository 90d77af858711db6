import { describe, expect, test } from "vitest";
import fc from "../../../test/property.ts";
import { PithError } from "../../core/errors.ts";
import { roundHalfEven } from "../../core/tensor/round.ts";
import { channelSquares } from "./channel-values.ts";
import { intersect, keptCount } from "./mask.ts";
import { findThresholds, pruneMask } from "./smallest-entries.ts";

/** Returns the mask with the `count` entries of smallest magnitude set to 0. */
async function pruneSmallest(mask: Uint8Array, values: readonly number[], count: number): Promise<Uint8Array> {
  const scores = Float64Array.from(values);
  const part = { size: mask.length, type: "float64" as const, mask: async () => mask, scores: async () => scores };
  const [cut] = await findThresholds([part], count);
  return cut === undefined ? mask : pruneMask(mask, scores, cut);
}

const ones = (size: number): Uint8Array => new Uint8Array(size).fill(1);

describe("findThresholds and pruneMask", () => {
  test("remove exactly the given number of smallest entries and restore none", async () => {
    const cases = fc
      .array(fc.tuple(fc.integer({ min: -3, max: 3 }), fc.boolean()), { minLength: 1, maxLength: 40 })
      .chain((entries) => fc.tuple(fc.constant(entries), fc.double({ min: 0, max: 1, noNaN: true })));
    await fc.assert(
      fc.asyncProperty(cases, async ([entries, fraction]) => {
        const scores = entries.map(([score]) => score);
        const before = Uint8Array.from(entries, ([, kept]) => (kept ? 1 : 0));
        const count = roundHalfEven(fraction * keptCount(before));
        const after = await pruneSmallest(before, scores, count);
        expect(keptCount(after)).toBe(keptCount(before) - count);
        expect(intersect(before, after)).toEqual(after);
        const sizes = (kept: number): number[] =>
          scores.flatMap((score, index) => (before[index] === 1 && after[index] === kept ? [Math.abs(score)] : []));
        expect(Math.max(0, ...sizes(0))).toBeLessThanOrEqual(Math.min(9, ...sizes(1)));
      }),
    );
  });

  test("remove the first of equal entries", async () => {
    expect([...(await pruneSmallest(ones(5), [2, -1, 1, 1, 0], 3))]).toEqual([1, 0, 0, 1, 0]);
  });

  test("do not change the given mask", async () => {
    const mask = ones(3);
    await pruneSmallest(mask, [1, 2, 3], 2);
    expect([...mask]).toEqual([1, 1, 1]);
  });

  test("reject a score of NaN for every count", async () => {
    for (const count of [1, 2, 3])
      await expect(pruneSmallest(ones(3), [1, Number.NaN, 2], count)).rejects.toThrow(PithError);
  });

  test("remove infinite scores last", async () => {
    expect([...(await pruneSmallest(ones(3), [Number.NEGATIVE_INFINITY, 5, 1], 2))]).toEqual([1, 0, 0]);
  });
});

test("channelSquares sums the squares of slices along each axis", () => {
  // The tensor is 2 × 3 × 2, with the elements 0 to 11.
  const values = Array.from({ length: 12 }, (_, index) => index);
  expect([...channelSquares(values, [2, 3, 2], 0)]).toEqual([55, 451]);
  expect([...channelSquares(values, [2, 3, 2], 1)]).toEqual([0 + 1 + 36 + 49, 4 + 9 + 64 + 81, 16 + 25 + 100 + 121]);
});
