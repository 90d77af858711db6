/** Selects the smallest of many numbers in one pass, without holding them. */
import { PithError } from "../errors.ts";
import { joined } from "../tensor/dense.ts";

/** 1 for an entry that is kept, 0 for one that is pruned. */
export type Mask = Uint8Array;

export type Scores = Float32Array | Float64Array;

/** Prunes entries of magnitude below `limit`, and the first `ties` equal to it. */
export interface Threshold {
  readonly limit: number;
  readonly ties: number;
}

export interface Cut extends Threshold {
  readonly gone: number;
}

/** Entries that are ranked together; read again for each pass. */
export interface RankedEntries {
  readonly size: number;
  readonly sample?: Scores;
  /** Undefined if all entries are kept. */
  mask(): Promise<Mask | undefined>;
  scores(): Promise<Scores>;
}

/** The sampling interval: a prime, so that it does not align with the rows of a matrix. */
const stride = 251;

/** Fewer entries are sorted instead. */
const fewestSampled = 2 ** 16;

export function sampleOf(scores: Scores, mask: Mask | undefined): Scores {
  const sizes = new Float64Array(Math.ceil(scores.length / stride));
  let count = 0;
  for (let index = 0; index < scores.length; index += stride)
    if (mask?.[index] !== 0) sizes[count++] = Math.abs(scores[index] ?? 0);
  return sizes.subarray(0, count);
}

interface Bracket {
  readonly low: number;
  readonly high: number;
}

const everything: Bracket = { low: 0, high: Number.POSITIVE_INFINITY };

interface Located {
  below: number;
  atLow: number;
  readonly between: Scores[];
  atHigh: number;
}

/** The number of entries processed together: they fit a core's cache. */
const blockSize = 2 ** 16;

/** @throws PithError E_DATA if the score of a kept entry is NaN: it has no rank. */
function locate(scores: Scores, mask: Mask | undefined, bracket: Bracket): Located {
  const found: Located = { below: 0, atLow: 0, between: [], atHigh: 0 };
  if (scores instanceof Float32Array && isFloat32(bracket.low) && isFloat32(bracket.high))
    locateFloats(scores, mask, bracket, found);
  else locateNumbers(scores, mask, bracket, found);
  return found;
}

/** Compares as integers: without the sign, the bits of a float32 increase with its magnitude. */
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

/** Moves entries within the bracket to the start of `sizes`. @returns their number. */
function collectFloats(bits: Int32Array, low: number, high: number, sizes: Int32Array, found: Located): number {
  let [below, broken, within] = [0, 0, 0];
  const span = high - low;
  for (let index = 0; index < bits.length; index++) {
    const size = (bits[index] ?? 0) & 0x7fff_ffff;
    const over = size - low;
    // Branch-free: half of the entries are below, which branch prediction cannot handle.
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

/** The bits of an infinite float32 without its sign; those of NaN are greater. */
const infinity = 0x7f80_0000;

const isFloat32 = (value: number): boolean => Math.fround(value) === value;

const noRank = (): PithError => new PithError("E_DATA", "A score is NaN, so the entries cannot be ranked.");

export function cutMask(mask: Mask | undefined, scores: Scores, { limit, ties }: Threshold): Mask {
  const result = mask?.slice() ?? new Uint8Array(scores.length).fill(1);
  cutEntries(result, scores, limit, ties);
  return result;
}

/** Returns a function that sets pruned entries to 0 in consecutive blocks, since the first of equal entries go. Blocks share a buffer. */
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

/** Returns the numbers with zeros where the mask is 0. */
export function masked(numbers: Scores, mask: Mask): Scores {
  if (numbers instanceof Float64Array) return numbers.map((value, at) => (mask[at] === 1 ? value : 0));
  const result = new Float32Array(numbers.length);
  const [from, to] = [bitsOf(numbers), bitsOf(result)];
  // As integers: −0 has no bits set, −1 has all.
  for (let index = 0; index < to.length; index++) to[index] = (from[index] ?? 0) & -(mask[index] ?? 0);
  return result;
}

const bitsOf = ({ buffer, byteOffset, length }: Float32Array): Int32Array => new Int32Array(buffer, byteOffset, length);

/** @returns the number of equal entries that remain to be pruned. */
function zeroFloats(scores: Float32Array, result: Float32Array, limit: number, ties: number): number {
  const [from, to] = [bitsOf(scores), bitsOf(result)];
  const [least = 0] = bitsOf(Float32Array.of(limit));
  let left = ties;
  for (let index = 0; index < to.length; index++) {
    const bits = from[index] ?? 0;
    const size = bits & 0x7fff_ffff;
    // All bits where size ≥ least, branch-free.
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
 * Computes the cuts that prune `count` entries. A sample brackets the threshold; one pass counts the entries below and collects those between
 * (Floyd & Rivest 1975, "Expected time bounds for selection"). If the bracket misses, which is rare, it is widened.
 */
function* select(
  count: number,
  size: number,
  samples: readonly Scores[],
): Generator<Bracket, readonly Cut[], readonly Located[]> {
  const rising = joined(Float64Array, samples).sort();
  const place = count / stride;
  // Four standard deviations of the rank.
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

/** Returns the `count`-th smallest magnitude, unless it is outside the bracket. */
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

/** Returns the number at a rank, counted from 0; reorders the array (Hoare 1961, "Algorithm 65: Find"). */
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
 * Prunes the `count` entries of least |score| over all parts, the first of equal ones: returns one cut per part.
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

/** Returns the mask without the `count` entries of least |score|, the first of equal ones. @throws PithError E_DATA if a kept score is NaN. */
export function cutLeast(mask: Mask, scores: Scores, count: number): Mask {
  if (count === 0) return mask.slice();
  const selection = select(count, scores.length, [sampleOf(scores, mask)]);
  for (let step = selection.next(); ; ) {
    if (step.done) return step.value.reduce((kept, cut) => cutMask(kept, scores, cut), mask);
    step = selection.next([locate(scores, mask, step.value)]);
  }
}
