import { describe, expect, test } from "vitest";
import fc from "../../../test/property.ts";
import { PithError } from "../../core/errors.ts";
import { cutMask, cutSmallest } from "../../core/math/smallest.ts";
import { alongAxis } from "../../core/tensor/dims.ts";
import { countOf } from "./amount.ts";
import { channelNorms, intersect, keptChannels, keptCount, pruneChannels } from "./mask.ts";

/** Returns the mask with the `count` entries of smallest magnitude set to 0. */
async function pruneSmallest(mask: Uint8Array, values: readonly number[], count: number): Promise<Uint8Array> {
  const scores = Float64Array.from(values);
  const part = { size: mask.length, type: "float64" as const, mask: async () => mask, scores: async () => scores };
  const [cut] = await cutSmallest([part], count);
  return cut === undefined ? mask : cutMask(mask, scores, cut);
}

const ones = (size: number): Uint8Array => new Uint8Array(size).fill(1);

describe("cutSmallest and cutMask", () => {
  test("remove exactly the given number of smallest entries and restore none", async () => {
    const cases = fc
      .array(fc.tuple(fc.integer({ min: -3, max: 3 }), fc.boolean()), { minLength: 1, maxLength: 40 })
      .chain((entries) => fc.tuple(fc.constant(entries), fc.double({ min: 0, max: 1, noNaN: true })));
    await fc.assert(
      fc.asyncProperty(cases, async ([entries, fraction]) => {
        const scores = entries.map(([score]) => score);
        const before = Uint8Array.from(entries, ([, kept]) => (kept ? 1 : 0));
        const count = countOf({ fraction }, keptCount(before));
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

describe("channels", () => {
  // The tensor is 2 × 3 × 2, with the elements 0 to 11.
  const dims = [2, 3, 2];
  const values = Array.from({ length: 12 }, (_, index) => index);

  test("have the norms of their slices along each axis", () => {
    expect([...channelNorms(values, dims, 0, 1)]).toEqual([15, 51]);
    expect([...channelNorms(values, dims, 1, 1)]).toEqual([0 + 1 + 6 + 7, 2 + 3 + 8 + 9, 4 + 5 + 10 + 11]);
    expect([...channelNorms(values, dims, 2, Number.POSITIVE_INFINITY)]).toEqual([10, 11]);
    expect([...channelNorms(values, dims, 2, Number.NEGATIVE_INFINITY)]).toEqual([0, 1]);
    expect([...channelNorms(values, dims, 1, 0)]).toEqual([3, 4, 4]);
    expect(channelNorms(values, dims, 0, 2)[0]).toBeCloseTo(Math.sqrt(55), 12);
    expect(channelNorms(values, dims, 0, "fro")).toEqual(channelNorms(values, dims, 0, 2));
    expect(channelNorms([3, 4, 1, 1], [2, 2], 0, 0.5)[0]).toBeCloseTo((Math.sqrt(3) + 2) ** 2, 12);
  });

  test("have the sum of the singular values of their slice as nuclear norm", () => {
    // Along axis 1 of a 2 × 2 × 2 tensor: [[3, 0], [4, 5]] has the singular values 3√5 and √5.
    const [first, second] = channelNorms([3, 0, 1, 0, 4, 5, 0, 2], [2, 2, 2], 1, "nuc");
    expect(first).toBeCloseTo(4 * Math.sqrt(5), 10);
    expect(second).toBeCloseTo(3, 10);
    expect(() => channelNorms(values, [3, 4], 0, "nuc")).toThrow(/three axes/);
  });

  test("are pruned only if all of their entries are", () => {
    const channels = alongAxis(dims, 1);
    const mask = pruneChannels(ones(12), channels, [1]);
    expect([...mask]).toEqual([1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1]);
    mask[0] = 0;
    expect(keptChannels(mask, channels)).toEqual([0, 2]);
  });
});

describe("countOf", () => {
  test("rounds halves to even, as Python does", () => {
    expect([5, 7, 10, 1, 3].map((size) => countOf(0.5, size))).toEqual([2, 4, 5, 0, 2]);
    expect(countOf(0.25, 10)).toBe(2);
  });

  test("returns an integer as a number of entries, and all for a fraction of 1", () => {
    expect(countOf(1, 8)).toBe(1);
    expect(countOf({ fraction: 1 }, 8)).toBe(8);
    expect(countOf({ count: 3 }, 8)).toBe(3);
    expect(() => countOf(9, 8)).toThrow(/expected at most 8 entries, the number that is left, got 9/);
  });
});
