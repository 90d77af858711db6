/** Selects the entries of smallest magnitude for pruning, read in parts to save memory. */
import { dataError, joinArrays, wordsOf } from "#ir";
import type { Mask, Scores } from "../../rewrite/edit/mask.ts";

/** Prunes entries with a magnitude below `limit`, and the first `ties` entries equal to `limit`. */
export interface Threshold {
  readonly limit: number;
  readonly ties: number;
}

export interface CountedThreshold extends Threshold {
  readonly prunedCount: number;
}

/** A weight whose entries are ranked together with others. Each pass over the entries calls `mask` and `scores` again. */
export interface RankedEntries {
  readonly size: number;
  /** The result of `sampleOf`, which saves a pass. */
  readonly sample?: Scores;
  mask(): Promise<Mask | undefined>;
  scores(): Promise<Scores>;
}

/** The sampling interval: a prime does not align with the rows of a matrix. */
const stride = 251;

/** With fewer entries, all magnitudes are collected. */
const minSampled = 2 ** 16;

/** Returns a sample of the unmasked magnitudes. */
export function sampleOf(scores: Scores, mask: Mask | undefined): Scores {
  const magnitudes = new Float64Array(Math.ceil(scores.length / stride));
  let count = 0;
  for (let index = 0; index < scores.length; index += stride)
    if (mask?.[index] !== 0) magnitudes[count++] = Math.abs(scores[index] ?? 0);
  return magnitudes.subarray(0, count);
}

/** Magnitudes that are expected to contain the threshold. */
interface Bracket {
  readonly low: number;
  readonly high: number;
}

const unboundedBracket: Bracket = { low: 0, high: Number.POSITIVE_INFINITY };

/** Counts of magnitudes below a bracket and at its ends, and the magnitudes inside it. */
interface BracketCounts {
  readonly below: number;
  readonly atLow: number;
  readonly between: readonly number[];
  readonly atHigh: number;
}

/** Counts unmasked magnitudes relative to a bracket. @throws PithError E_DATA for NaN. */
function countAround(scores: Scores, mask: Mask | undefined, { low, high }: Bracket): BracketCounts {
  const between: number[] = [];
  let [below, atLow, atHigh] = [0, 0, 0];
  for (let index = 0; index < scores.length; index++) {
    if (mask?.[index] === 0) continue;
    const size = Math.abs(scores[index] ?? 0);
    // Without a branch, which would often be mispredicted.
    const isBelow = Number(size < low);
    below += isBelow;
    if ((isBelow | Number(size > high)) !== 0) continue;
    if (size === low) atLow++;
    else if (size === high) atHigh++;
    else if (Number.isNaN(size)) throw dataError("A score is NaN, so the entries cannot be ranked.");
    else between.push(size);
  }
  return { below, atLow, between, atHigh };
}

export function pruneMask(mask: Mask | undefined, scores: Scores, { limit, ties }: Threshold): Mask {
  const result = mask?.slice() ?? new Uint8Array(scores.length).fill(1);
  pruneEntries(result, scores, limit, ties);
  return result;
}

/** Returns a function that sets pruned entries of consecutive blocks to 0. Returned blocks can share a buffer. */
export function createPruner({ limit, ties }: Threshold): (scores: Scores, mask: Mask | undefined) => Scores {
  let remainingTies = ties;
  let result = new Float32Array();
  return (scores, mask) => {
    if (mask !== undefined || !(scores instanceof Float32Array && Math.fround(limit) === limit)) {
      const keptEntries = mask?.slice() ?? new Uint8Array(scores.length).fill(1);
      remainingTies = pruneEntries(keptEntries, scores, limit, remainingTies);
      return applyMask(scores, keptEntries);
    }
    if (result.length !== scores.length) result = new Float32Array(scores.length);
    remainingTies = zeroFloats(scores, result, limit, remainingTies);
    return result;
  };
}

export function applyMask(numbers: Scores, mask: Mask): Scores {
  if (numbers instanceof Float64Array) return numbers.map((value, index) => (mask[index] === 1 ? value : 0));
  const result = new Float32Array(numbers.length);
  const [from, to] = [wordsOf(numbers), wordsOf(result)];
  // Applies the mask to the bits: −0 has no bits set, −1 has all bits set.
  for (let index = 0; index < to.length; index++) to[index] = (from[index] ?? 0) & -(mask[index] ?? 0);
  return result;
}

/** Copies float32 scores with pruned entries as 0, faster than `pruneEntries`. Returns the remaining ties. */
function zeroFloats(scores: Float32Array, result: Float32Array, limit: number, ties: number): number {
  const [from, to] = [wordsOf(scores), wordsOf(result)];
  const [limitBits = 0] = wordsOf(Float32Array.of(limit));
  let remainingTies = ties;
  for (let index = 0; index < to.length; index++) {
    const bits = from[index] ?? 0;
    // Without the sign, the bits of a float32 increase with its magnitude.
    const size = bits & 0x7fff_ffff;
    // All ones if size ≥ limit, computed without a branch.
    to[index] = bits & ((limitBits - 1 - size) >> 31);
    if (size !== limitBits || remainingTies === 0) continue;
    to[index] = 0;
    remainingTies--;
  }
  return remainingTies;
}

/** Sets the mask of pruned entries to 0. Returns the remaining ties. */
function pruneEntries(mask: Mask, scores: Scores, limit: number, ties: number): number {
  let remainingTies = ties;
  for (let index = 0; index < mask.length; index++) {
    const size = Math.abs(scores[index] ?? 0);
    const isKept = (mask[index] ?? 0) & Number(size >= limit);
    mask[index] = isKept;
    if (size !== limit || remainingTies === 0 || isKept === 0) continue;
    mask[index] = 0;
    remainingTies--;
  }
  return remainingTies;
}

/** Returns thresholds that together prune `count` entries; undefined if the `count`-th smallest magnitude is outside the bracket. */
function thresholdsWithin(
  parts: readonly BracketCounts[],
  { low, high }: Bracket,
  count: number,
): readonly CountedThreshold[] | undefined {
  const sum = (term: (part: BracketCounts) => number): number => parts.reduce((total, part) => total + term(part), 0);
  const rank = count - sum(({ below }) => below);
  const rankInside = rank - sum(({ atLow }) => atLow);
  const insideMagnitudes = joinArrays(
    Float64Array,
    parts.map(({ between }) => between),
  );
  const rankAbove = rankInside - insideMagnitudes.length;
  if (rank <= 0 || rankAbove > sum(({ atHigh }) => atHigh)) return undefined;
  const limit = rankInside <= 0 ? low : rankAbove > 0 ? high : numberAtRank(insideMagnitudes, rankInside - 1);
  const counts = parts.map(({ below, atLow, between, atHigh }) => {
    if (limit === low) return { less: below, equal: atLow };
    const countBelow = between.reduce((total, size) => total + Number(size < limit), below + atLow);
    return {
      less: countBelow,
      equal: between.reduce((total, size) => total + Number(size === limit), limit === high ? atHigh : 0),
    };
  });
  let remainingTies = counts.reduce((total, { less }) => total - less, count);
  return counts.map(({ less, equal }) => {
    const ties = Math.min(remainingTies, equal);
    remainingTies -= ties;
    return { limit, ties, prunedCount: less + ties };
  });
}

/** Returns the number at a rank. Reorders the array (Hoare 1961, "Algorithm 65: Find"). */
function numberAtRank(numbers: Float64Array, rank: number): number {
  for (let [first, last] = [0, numbers.length - 1]; first < last; ) {
    const pivot = numbers[rank] ?? 0;
    let [lower, upper] = [first, last];
    while (lower <= upper) {
      while ((numbers[lower] ?? 0) < pivot) lower++;
      while ((numbers[upper] ?? 0) > pivot) upper--;
      if (lower > upper) break;
      const lowerNumber = numbers[lower] ?? 0;
      numbers[lower++] = numbers[upper] ?? 0;
      numbers[upper--] = lowerNumber;
    }
    if (upper < rank) first = lower;
    if (rank < lower) last = upper;
  }
  return numbers[rank] ?? 0;
}

/**
 * Returns thresholds that prune the `count` entries with the lowest |score| over all parts. A sample gives a bracket around the threshold, which
 * grows until it holds it (Floyd and Rivest 1975, "Expected time bounds for selection").
 * @throws PithError E_DATA if the score of an unmasked entry is NaN.
 */
export async function findThresholds(
  parts: readonly RankedEntries[],
  count: number,
): Promise<readonly CountedThreshold[]> {
  if (count === 0) return parts.map(() => ({ limit: 0, ties: 0, prunedCount: 0 }));
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const samples: Scores[] = [];
  for (const { sample, mask, scores } of parts) samples.push(sample ?? sampleOf(await scores(), await mask()));
  const ascending = joinArrays(Float64Array, samples).sort();
  const rank = count / stride;
  // ± 4 standard deviations of the rank.
  for (let halfWidth = 4 * Math.sqrt(rank * Math.max(0, 1 - count / size)) + 1; ; halfWidth *= 8) {
    const low = ascending[Math.floor(rank - halfWidth)] ?? unboundedBracket.low;
    const high = ascending[Math.ceil(rank + halfWidth)] ?? unboundedBracket.high;
    const bracket = size < minSampled ? unboundedBracket : { low, high };
    const counts: BracketCounts[] = [];
    for (const { mask, scores } of parts) counts.push(countAround(await scores(), await mask(), bracket));
    const thresholds = thresholdsWithin(counts, bracket, count);
    if (thresholds !== undefined) return thresholds;
  }
}

/** Returns the mask without the `count` lowest |scores|. @throws PithError E_DATA if an unmasked score is NaN. */
export function pruneLowest(mask: Mask, scores: Scores, count: number): Mask {
  const [threshold] =
    count === 0 ? [] : (thresholdsWithin([countAround(scores, mask, unboundedBracket)], unboundedBracket, count) ?? []);
  return threshold === undefined ? mask.slice() : pruneMask(mask, scores, threshold);
}
