import { expect, test } from "vitest";
import { random } from "../tensor/random.ts";
import { cutMask, cutSmallest, type RankedEntries, type Scores, Search } from "./smallest.ts";

/** More than are sorted: two values only decide in the last digits, many are equal, some are 0, -0, subnormal or infinite. */
function scoresOf(type: "float32" | "float64", seed: number, size: number): Scores {
  const numbers = random(seed, "scores");
  const special = [0, -0, 1e-42, -1e-42, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1, 1 + 2 ** -23, -1];
  const make = (): number =>
    numbers.uniform() < 0.3
      ? (special[Math.floor(numbers.uniform() * special.length)] ?? 0)
      : Math.fround(numbers.normal());
  return type === "float32" ? Float32Array.from({ length: size }, make) : Float64Array.from({ length: size }, make);
}

const partOf = (scores: Scores, mask: Uint8Array): RankedEntries => ({
  size: scores.length,
  type: scores instanceof Float64Array ? "float64" : "float32",
  mask: async () => mask,
  scores: async () => scores,
});

/** By sorting positions: the definition. */
function bySorting(parts: readonly (readonly [Scores, Uint8Array])[], count: number): Uint8Array {
  const sizes = parts.flatMap(([scores]) => Array.from(scores, Math.abs));
  const kept = parts.flatMap(([, mask]) => [...mask]);
  const order = sizes.map((_, index) => index).filter((index) => kept[index] === 1);
  const gone = order.sort((a, b) => (sizes[a] ?? 0) - (sizes[b] ?? 0) || a - b).slice(0, count);
  for (const index of gone) kept[index] = 0;
  return Uint8Array.from(kept);
}

test.each([
  ["float32", ["float32"]],
  ["float64", ["float64"]],
  ["both, in three parts", ["float32", "float64", "float32"]],
] as const)("counting finds what sorting finds: %s", async (_, types) => {
  const parts = types.map((type, index) => {
    const scores = scoresOf(type, index, 70_000);
    const numbers = random(index, "mask");
    return [scores, Uint8Array.from(scores, () => (numbers.uniform() < 0.9 ? 1 : 0))] as const;
  });
  const all = parts.reduce((sum, [, mask]) => sum + mask.reduce((kept, one) => kept + one, 0), 0);
  for (const count of [1, 1000, Math.round(all / 3), all - 1, all]) {
    const cuts = await cutSmallest(
      parts.map(([scores, mask]) => partOf(scores, mask)),
      count,
    );
    const masks = parts.flatMap(([scores, mask], index) => {
      const cut = cuts[index];
      return cut === undefined ? [] : [...cutMask(mask, scores, cut)];
    });
    expect(Uint8Array.from(masks)).toEqual(bySorting(parts, count));
    expect(cuts.reduce((sum, { gone }) => sum + gone, 0)).toBe(count);
  }
});

test.each(["float32", "float64"] as const)("without a mask all are ranked: %s", async (type) => {
  const scores = scoresOf(type, 3, 70_000);
  const ones = new Uint8Array(scores.length).fill(1);
  for (const count of [1, 30_000, 69_999]) {
    const [cut] = await cutSmallest([{ ...partOf(scores, ones), mask: async () => undefined }], count);
    if (cut === undefined) throw new Error("no cut");
    expect(cutMask(undefined, scores, cut)).toEqual(bySorting([[scores, ones]], count));
  }
});

test("float32 takes two looks, however many numbers there are, and none is held", async () => {
  let looks = 0;
  const scores = scoresOf("float32", 7, 100_000);
  const part: RankedEntries = {
    ...partOf(scores, new Uint8Array(scores.length).fill(1)),
    scores: async () => {
      looks++;
      return scores;
    },
  };
  await cutSmallest([part], 50_000);
  expect(looks).toBe(2);
});

test("a NaN that the mask keeps is refused", () => {
  const search = new Search(1, "float32");
  search.look(Uint8Array.of(0, 1), Float32Array.of(Number.NaN, 1));
  for (const mask of [Uint8Array.of(1), undefined])
    expect(() => search.look(mask, Float32Array.of(Number.NaN))).toThrow("cannot be ranked");
  search.look(undefined, Float32Array.of(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY));
});
