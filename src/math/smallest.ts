/** The least of many numbers, in one look at them and without holding them. */
import { PithError } from "../errors.ts";
import { joined } from "../tensor/dense.ts";

/** 1 for an entry that is kept, 0 for one that is pruned. */
export type Mask = Uint8Array;

export type Scores = Float32Array | Float64Array;

/** Which entries go: those of magnitude below `limit`, and of those equal to it the first `ties`. */
export interface Threshold {
  readonly limit: number;
  readonly ties: number;
}

/** A threshold, and how many entries go by it. */
export interface Cut extends Threshold {
  readonly gone: number;
}

/** Entries that are ranked with others; read again for each look. */
export interface RankedEntries {
  readonly size: number;
  /** Magnitudes of some of them, where they were at hand before (`sampleOf`). */
  readonly sample?: Scores;
  /** Undefined where all entries are kept. */
  mask(): Promise<Mask | undefined>;
  scores(): Promise<Scores>;
}

/** Every so manieth entry is a sample: a prime, so that no row length of a matrix repeats it. */
const stride = 251;

/** Fewer numbers are all sorted. */
const fewestSampled = 2 ** 16;

/** Magnitudes of a sample of the entries that are kept. */
export function sampleOf(scores: Scores, mask: Mask | undefined): Scores {
  const sizes = new Float64Array(Math.ceil(scores.length / stride));
  let count = 0;
  for (let index = 0; index < scores.length; index += stride)
    if (mask?.[index] !== 0) sizes[count++] = Math.abs(scores[index] ?? 0);
  return sizes.subarray(0, count);
}

/** Magnitudes between which the threshold is expected. */
interface Bracket {
  readonly low: number;
  readonly high: number;
}

const everything: Bracket = { low: 0, high: Number.POSITIVE_INFINITY };

/** How the entries of one part lie about a bracket. */
interface Located {
  below: number;
  atLow: number;
  /** Magnitudes. */
  readonly between: Scores[];
  atHigh: number;
}

/** Entries that are looked at together: they stay in a core's own cache. */
const blockSize = 2 ** 16;

/** @throws PithError E_DATA if the score of an entry that is kept is NaN: it has no rank. */
function locate(scores: Scores, mask: Mask | undefined, bracket: Bracket): Located {
  const found: Located = { below: 0, atLow: 0, between: [], atHigh: 0 };
  if (scores instanceof Float32Array && isFloat32(bracket.low) && isFloat32(bracket.high))
    locateFloats(scores, mask, bracket, found);
  else locateNumbers(scores, mask, bracket, found);
  return found;
}

/** As integers: without its sign, the bits of a float32 rise with its magnitude. */
function locateFloats(scores: Float32Array, mask: Mask | undefined, bracket: Bracket, found: Located): void {
  const bits = bitsOf(scores);
  const [low = 0, high = 0] = bitsOf(Float32Array.of(bracket.low, bracket.high));
  const between = new Float32Array(blockSize);
  const sizes = bitsOf(between);
  for (let start = 0; start < bits.length; start += blockSize) {
    const [block, kept] = [bits.subarray(start, start + blockSize), mask?.subarray(start, start + blockSize)];
    const count = collectFloats(
      kept === undefined ? block : block.filter((_, at) => kept[at] !== 0),
      low,
      high,
      sizes,
      found,
    );
    if (count > 0) found.between.push(between.slice(0, count));
  }
}

/** Moves what lies between to the begin of `sizes`. @returns how many that are. */
function collectFloats(bits: Int32Array, low: number, high: number, sizes: Int32Array, found: Located): number {
  let [below, broken, within] = [0, 0, 0];
  const span = high - low;
  for (let index = 0; index < bits.length; index++) {
    const size = (bits[index] ?? 0) & 0x7fff_ffff;
    const over = size - low;
    // Without branches: half of all lie below, which could not be predicted.
    below += over >>> 31;
    broken |= infinity - size;
    if (over >>> 0 <= span) sizes[within++] = size;
  }
  if (broken < 0) throw noRank();
  found.below += below;
  let count = 0;
  for (let index = 0; index < within; index++) {
    const size = sizes[index] ?? 0;
    if (size === low) found.atLow++;
    else if (size === high) found.atHigh++;
    else sizes[count++] = size;
  }
  return count;
}

function locateNumbers(scores: Scores, mask: Mask | undefined, { low, high }: Bracket, found: Located): void {
  const between: number[] = [];
  for (let index = 0; index < scores.length; index++) {
    if (mask?.[index] === 0) continue;
    const size = Math.abs(scores[index] ?? 0);
    if (size < low) found.below++;
    else if (size === low) found.atLow++;
    else if (size < high) between.push(size);
    else if (size === high) found.atHigh++;
    else if (Number.isNaN(size)) throw noRank();
  }
  found.between.push(Float64Array.from(between));
}

/** The bits of an infinite float32, without its sign; those of NaN are greater. */
const infinity = 0x7f80_0000;

const isFloat32 = (value: number): boolean => Math.fround(value) === value;

const noRank = (): PithError => new PithError("E_DATA", "A score is NaN, so the entries cannot be ranked.");

export function cutMask(mask: Mask | undefined, scores: Scores, { limit, ties }: Threshold): Mask {
  const result = mask?.slice() ?? new Uint8Array(scores.length).fill(1);
  cutEntries(result, scores, limit, ties);
  return result;
}

/**
 * Sets to 0 what goes, in one block of the entries after the other, since of those equal to the limit the first go. Blocks are overwritten by the next.
 */
export function cutter({ limit, ties }: Threshold): (scores: Scores, mask: Mask | undefined) => Scores {
  let left = ties;
  let result = new Float32Array();
  return (scores, present) => {
    if (present !== undefined || !(scores instanceof Float32Array && isFloat32(limit))) {
      const mask = present?.slice() ?? new Uint8Array(scores.length).fill(1);
      left = cutEntries(mask, scores, limit, left);
      return masked(scores, mask);
    }
    if (result.length !== scores.length) result = new Float32Array(scores.length);
    left = zeroFloats(scores, result, limit, left);
    return result;
  };
}

/** Numbers where a mask holds 1, and zeros where it holds 0. */
export function masked(numbers: Scores, mask: Mask): Scores {
  if (numbers instanceof Float64Array) return numbers.map((value, at) => (mask[at] === 1 ? value : 0));
  const result = new Float32Array(numbers.length);
  const [from, to] = [bitsOf(numbers), bitsOf(result)];
  // As integers: −0 and −1 have no bits and all.
  for (let index = 0; index < to.length; index++) to[index] = (from[index] ?? 0) & -(mask[index] ?? 0);
  return result;
}

const bitsOf = ({ buffer, byteOffset, length }: Float32Array): Int32Array => new Int32Array(buffer, byteOffset, length);

/** @returns how many equal ones may still go. */
function zeroFloats(scores: Float32Array, result: Float32Array, limit: number, ties: number): number {
  const [from, to] = [bitsOf(scores), bitsOf(result)];
  const [least = 0] = bitsOf(Float32Array.of(limit));
  let left = ties;
  for (let index = 0; index < to.length; index++) {
    const bits = from[index] ?? 0;
    const size = bits & 0x7fff_ffff;
    // All bits where size ≥ least, without a branch, which could not be predicted: half of all go.
    to[index] = bits & ((least - 1 - size) >> 31);
    if (size !== least || left === 0) continue;
    to[index] = 0;
    left--;
  }
  return left;
}

function cutEntries(mask: Mask, scores: Scores, limit: number, ties: number): number {
  const ofFloats = scores instanceof Float32Array && isFloat32(limit);
  return ofFloats ? cutFloats(mask, scores, limit, ties) : cutNumbers(mask, scores, limit, ties);
}

function cutFloats(mask: Mask, scores: Float32Array, limit: number, ties: number): number {
  const bits = bitsOf(scores);
  const [least = 0] = bitsOf(Float32Array.of(limit));
  let left = ties;
  for (let index = 0; index < mask.length; index++) {
    const size = (bits[index] ?? 0) & 0x7fff_ffff;
    // 1 where size ≥ least, without a branch, which could not be predicted: half of all go.
    const kept = (mask[index] ?? 0) & ((least - 1 - size) >>> 31);
    mask[index] = kept;
    if (size !== least || left === 0 || kept === 0) continue;
    mask[index] = 0;
    left--;
  }
  return left;
}

function cutNumbers(mask: Mask, scores: Scores, limit: number, ties: number): number {
  let left = ties;
  for (let index = 0; index < mask.length; index++) {
    const size = Math.abs(scores[index] ?? 0);
    const kept = (mask[index] ?? 0) & Number(size >= limit);
    mask[index] = kept;
    if (size !== limit || left === 0 || kept === 0) continue;
    mask[index] = 0;
    left--;
  }
  return left;
}

/**
 * The cuts by which `count` entries go. A sample brackets the threshold; one look at everything counts what lies below and collects what lies between (Floyd &
 * Rivest 1975, "Expected time bounds for selection"). A bracket that misses it, which is rare, is widened for another look.
 */
function* select(
  count: number,
  size: number,
  samples: readonly Scores[],
): Generator<Bracket, readonly Cut[], readonly Located[]> {
  const rising = joined(Float64Array, samples).sort();
  const place = count / stride;
  // Four standard deviations of the place.
  for (let reach = 4 * Math.sqrt(place * Math.max(0, 1 - count / size)) + 1; ; reach *= 8) {
    const [first, last] = [Math.floor(place - reach), Math.ceil(place + reach)];
    const bracket =
      size < fewestSampled ? everything : { low: rising[first] ?? 0, high: rising[last] ?? everything.high };
    const located = yield bracket;
    const limit = limitAmong(located, bracket, count);
    if (limit === undefined) continue;
    let ties = count;
    const around = located.map((part) => countAround(part, bracket, limit));
    for (const { below } of around) ties -= below;
    return around.map(({ below, equal }) => {
      const own = Math.min(ties, equal);
      ties -= own;
      return { limit, ties: own, gone: below + own };
    });
  }
}

/** The `count`-th least magnitude, unless it lies outside of the bracket. */
function limitAmong(located: readonly Located[], { low, high }: Bracket, count: number): number | undefined {
  const sum = (of: (part: Located) => number): number => located.reduce((all, part) => all + of(part), 0);
  const place = count - sum(({ below }) => below);
  if (place <= 0) return undefined;
  const within = place - sum(({ atLow }) => atLow);
  if (within <= 0) return low;
  const between = joined(
    Float64Array,
    located.flatMap((part) => part.between),
  );
  if (within <= between.length) return nthLeast(between, within - 1);
  return within - between.length <= sum(({ atHigh }) => atHigh) ? high : undefined;
}

function countAround(
  { below, atLow, between, atHigh }: Located,
  { low, high }: Bracket,
  limit: number,
): { readonly below: number; readonly equal: number } {
  if (limit === low) return { below, equal: atLow };
  let [less, equal] = [0, limit === high ? atHigh : 0];
  for (const sizes of between)
    for (let at = 0; at < sizes.length; at++) {
      const size = sizes[at] ?? 0;
      less += Number(size < limit);
      equal += Number(size === limit);
    }
  return { below: below + atLow + less, equal };
}

/** The number at a place, from 0 on, of the rising order; others change their places (Hoare 1961, "Algorithm 65: Find"). */
function nthLeast(numbers: Float64Array, place: number): number | undefined {
  for (let [first, last] = [0, numbers.length - 1]; first < last; ) {
    const pivot = numbers[place] ?? 0;
    let [left, right] = [first, last];
    while (left <= right) {
      while ((numbers[left] ?? 0) < pivot) left++;
      while ((numbers[right] ?? 0) > pivot) right--;
      if (left > right) break;
      const one = numbers[left] ?? 0;
      numbers[left++] = numbers[right] ?? 0;
      numbers[right--] = one;
    }
    if (right < place) first = left;
    if (place < left) last = right;
  }
  return numbers[place];
}

/**
 * Of the entries that all parts keep together, the `count` of least |score| go, of equal ones the first: one cut for each part.
 * @throws PithError E_DATA if the score of an entry that is kept is NaN.
 */
export async function cutSmallest(parts: readonly RankedEntries[], count: number): Promise<readonly Cut[]> {
  if (count === 0) return parts.map(() => ({ limit: 0, ties: 0, gone: 0 }));
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const samples: Scores[] = [];
  for (const { sample, mask, scores } of parts) samples.push(sample ?? sampleOf(await scores(), await mask()));
  const selection = select(count, size, samples);
  for (let step = selection.next(); ; ) {
    if (step.done) return step.value;
    const located: Located[] = [];
    for (const { mask, scores } of parts) located.push(locate(await scores(), await mask(), step.value));
    step = selection.next(located);
  }
}

/** The mask without the `count` entries of least |score|, of equal ones the first. @throws PithError E_DATA if the score of an entry that is kept is NaN. */
export function cutLeast(mask: Mask, scores: Scores, count: number): Mask {
  if (count === 0) return mask.slice();
  const selection = select(count, scores.length, [sampleOf(scores, mask)]);
  for (let step = selection.next(); ; ) {
    if (step.done) return step.value.reduce((kept, cut) => cutMask(kept, scores, cut), mask);
    step = selection.next([locate(scores, mask, step.value)]);
  }
}
