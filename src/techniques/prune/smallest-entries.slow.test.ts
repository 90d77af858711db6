import { expect, test } from "vitest";
import { random } from "../../core/tensor/random.ts";
import type { Scores } from "../../rewrite/edit/mask.ts";
import {
  applyMask,
  createPruner,
  findThresholds,
  pruneLowest,
  pruneMask,
  type RankedEntries,
  sampleOf,
} from "./smallest-entries.ts";

/** Draws scores that include ties, 0, -0, subnormal and infinite values, and two values that differ only in the last digit. */
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
  mask: async () => mask,
  scores: async () => scores,
});

/** Reference implementation: prunes by sorting positions. */
function bySorting(parts: readonly (readonly [Scores, Uint8Array])[], count: number): Uint8Array {
  const sizes = parts.flatMap(([scores]) => Array.from(scores, Math.abs));
  const kept = parts.flatMap(([, mask]) => [...mask]);
  const order = sizes.map((_, index) => index).filter((index) => kept[index] === 1);
  const pruned = order.sort((a, b) => (sizes[a] ?? 0) - (sizes[b] ?? 0) || a - b).slice(0, count);
  for (const index of pruned) kept[index] = 0;
  return Uint8Array.from(kept);
}

test.each([
  ["float32", ["float32"]],
  ["float64", ["float64"]],
  ["both, in three parts", ["float32", "float64", "float32"]],
] as const)("findThresholds prunes the same scores as sorting: %s", async (_, types) => {
  const parts = types.map((type, index) => {
    const scores = scoresOf(type, index, 70_000);
    const numbers = random(index, "mask");
    return [scores, Uint8Array.from(scores, () => (numbers.uniform() < 0.9 ? 1 : 0))] as const;
  });
  const all = parts.reduce((sum, [, mask]) => sum + mask.reduce((kept, one) => kept + one, 0), 0);
  for (const count of [1, 1000, Math.round(all / 3), all - 1, all]) {
    const cuts = await findThresholds(
      parts.map(([scores, mask]) => partOf(scores, mask)),
      count,
    );
    const masks = parts.flatMap(([scores, mask], index) => {
      const cut = cuts[index];
      return cut === undefined ? [] : [...pruneMask(mask, scores, cut)];
    });
    expect(Uint8Array.from(masks)).toEqual(bySorting(parts, count));
    expect(cuts.reduce((sum, { prunedCount }) => sum + prunedCount, 0)).toBe(count);
  }
});

test.each(["float32", "float64"] as const)("findThresholds without a mask ranks all scores: %s", async (type) => {
  const scores = scoresOf(type, 3, 70_000);
  const ones = new Uint8Array(scores.length).fill(1);
  for (const count of [1, 30_000, 69_999]) {
    const [cut] = await findThresholds([{ ...partOf(scores, ones), mask: async () => undefined }], count);
    if (cut === undefined) throw new Error("no cut");
    expect(pruneMask(undefined, scores, cut)).toEqual(bySorting([[scores, ones]], count));
  }
});

test.each(["float32", "float64"] as const)(
  "createPruner prunes block by block what pruneMask prunes at once: %s",
  async (type) => {
    const scores = scoresOf(type, 5, 70_000);
    const numbers = random(5, "mask");
    const drawn = Uint8Array.from(scores, () => (numbers.uniform() < 0.9 ? 1 : 0));
    for (const mask of [undefined, drawn]) {
      // The threshold is 1, and only some of the scores equal to 1 are pruned: all blocks contain such scores.
      const part = { ...partOf(scores, drawn), mask: async () => mask };
      const all = mask?.reduce((sum, one) => sum + one, 0) ?? scores.length;
      const [cut] = await findThresholds([part], Math.round(0.72 * all));
      if (cut === undefined) throw new Error("no cut");
      const keep = createPruner(cut);
      const kept: number[] = [];
      for (let start = 0; start < scores.length; start += 999)
        kept.push(...keep(scores.subarray(start, start + 999), mask?.subarray(start, start + 999)));
      expect(kept).toEqual([...applyMask(scores, pruneMask(mask, scores, cut))]);
    }
  },
);

test.each([
  ["in random order", (scores: Scores) => scores],
  ["rising", (scores: Scores) => scores.toSorted()],
  ["all equal", (scores: Scores) => scores.fill(0.5)],
  ["with two values", (scores: Scores) => scores.map((_, at) => (at % 3 === 0 ? 0 : -0.25))],
])("findThresholds with a sample reads the scores once: %s", async (_, of) => {
  let looks = 0;
  const scores = of(scoresOf("float32", 7, 300_000));
  const part: RankedEntries = {
    ...partOf(scores, new Uint8Array(scores.length).fill(1)),
    sample: sampleOf(scores, undefined),
    scores: async () => {
      looks++;
      return scores;
    },
  };
  await findThresholds([part], 150_000);
  expect(looks).toBe(1);
});

test("findThresholds with a misleading sample still prunes the right scores", async () => {
  const scores = scoresOf("float32", 9, 70_000);
  const ones = new Uint8Array(scores.length).fill(1);
  const misleading = { ...partOf(scores, ones), sample: new Float64Array(300).fill(1e9) };
  const [cut] = await findThresholds([misleading], 30_000);
  if (cut === undefined) throw new Error("no cut");
  expect(pruneMask(ones, scores, cut)).toEqual(bySorting([[scores, ones]], 30_000));
});

test("findThresholds does not round float64 scores when it ranks them with float32 scores", async () => {
  const [a, b] = [Float64Array.from({ length: 70_000 }, (_, at) => 1 + at * 2 ** -50), new Float32Array(10).fill(1)];
  const parts = [a, b].map((scores) => partOf(scores, new Uint8Array(scores.length).fill(1)));
  const [first, second] = await findThresholds(parts, 30_000);
  expect([first?.prunedCount, second?.prunedCount]).toEqual([29_990, 10]);
  expect(first?.limit).toBe(1 + 29_989 * 2 ** -50);
});

test("pruneLowest rejects a NaN that the mask keeps", () => {
  const kept = pruneLowest(Uint8Array.of(0, 1), Float32Array.of(Number.NaN, 1), 1);
  expect([...kept]).toEqual([0, 0]);
  for (const type of [Float32Array, Float64Array])
    expect(() => pruneLowest(Uint8Array.of(1), type.of(Number.NaN), 1)).toThrow("cannot be ranked");
  expect([...pruneLowest(Uint8Array.of(1, 1), Float32Array.of(Number.NEGATIVE_INFINITY, 1), 1)]).toEqual([1, 0]);
});
