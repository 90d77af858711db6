/** The least of many numbers, without sorting them: two looks at float32, four at float64, and memory for a table of counts. */
import { PithError } from "../errors.ts";

/** 1 for an entry that is kept, 0 for one that is pruned. */
export type Mask = Uint8Array;

export type Scores = Float32Array | Float64Array;

/** Which entries go: those of magnitude below `limit`, and of those equal to it the first `ties`. */
export interface Threshold {
  readonly limit: number;
  readonly ties: number;
}

/** Entries that are ranked with others; read again for each look. */
export interface RankedEntries {
  readonly size: number;
  readonly type: "float32" | "float64";
  /** Undefined where all entries are kept. */
  mask(): Promise<Mask | undefined>;
  /** @param weights The elements of what is pruned, where they are at hand. */
  scores(weights?: Scores): Promise<Scores>;
  /** The scores are in memory for as long as this is. */
  readonly inMemory?: true;
}

const values = 2 ** 16;

/** Fewer numbers are sorted: a table of counts is longer than they are. */
const fewestCounted = values;

/**
 * Finds the `count`-th least magnitude. The bits of a float without its sign rise with its magnitude, so digits of sixteen bits are found one
 * after the other, the most significant first, by counting the numbers that begin with the digits found so far:
 *
 *     while (search.limit === undefined) { for (…) search.look(mask, scores); search.narrow(); }
 */
export class Search {
  limit: number | undefined;
  /** How many of those equal to the limit go. */
  ties: number;
  readonly #bits: Float32Array | Float64Array;
  /** The digits of `#bits`, least significant first. */
  readonly #digits: Uint16Array;
  #digit: number;
  readonly #counts = new Float64Array(values);

  /** @param count At least 1. @param type Where both are among the scores, float64. */
  constructor(count: number, type: "float32" | "float64") {
    this.ties = count;
    this.#bits = type === "float32" ? new Float32Array(1) : new Float64Array(1);
    this.#digits = new Uint16Array(this.#bits.buffer);
    this.#digit = this.#digits.length - 1;
  }

  /** @throws PithError E_DATA if the score of an entry that is kept is NaN: it has no rank. */
  look(mask: Mask | undefined, scores: Scores): void {
    if (this.#digits.length > 2)
      this.#lookAtDoubles(mask, scores instanceof Float64Array ? scores : Float64Array.from(scores));
    else this.#lookAtFloats(mask, new Uint32Array(scores.buffer, scores.byteOffset, scores.length));
  }

  #lookAtFloats(mask: Mask | undefined, bits: Uint32Array): void {
    const counts = this.#counts;
    const [, own] = this.#digits;
    if (this.#digit === 0) {
      for (let index = 0; index < bits.length; index++) {
        const magnitude = (bits[index] ?? 0) & 0x7fff_ffff;
        if (magnitude >>> 16 !== own || mask?.[index] === 0) continue;
        const digit = magnitude & 0xffff;
        counts[digit] = (counts[digit] ?? 0) + 1;
      }
      return;
    }
    for (let index = 0; index < bits.length; index++) {
      if (mask?.[index] === 0) continue;
      const magnitude = (bits[index] ?? 0) & 0x7fff_ffff;
      if (magnitude > infinity) throw noRank();
      const digit = magnitude >>> 16;
      counts[digit] = (counts[digit] ?? 0) + 1;
    }
  }

  #lookAtDoubles(mask: Mask | undefined, numbers: Float64Array): void {
    const digits = new Uint16Array(numbers.buffer, numbers.byteOffset, 4 * numbers.length);
    const [own, counts, at] = [this.#digits, this.#counts, this.#digit];
    for (let index = 0, start = 0; index < numbers.length; index++, start += 4) {
      if (mask?.[index] === 0) continue;
      if (Number.isNaN(numbers[index])) throw noRank();
      let above = 3;
      while (above > at && ((digits[start + above] ?? 0) & (above === 3 ? 0x7fff : 0xffff)) === own[above]) above--;
      if (above !== at) continue;
      const digit = (digits[start + at] ?? 0) & (at === 3 ? 0x7fff : 0xffff);
      counts[digit] = (counts[digit] ?? 0) + 1;
    }
  }

  /** After a look at everything. */
  narrow(): void {
    let digit = 0;
    while (digit < values - 1 && (this.#counts[digit] ?? 0) < this.ties) this.ties -= this.#counts[digit++] ?? 0;
    this.#digits[this.#digit--] = digit;
    this.#counts.fill(0);
    if (this.#digit < 0) this.limit = this.#bits[0];
  }
}

/** The bits of an infinite float32, without its sign; those of NaN are greater. */
const infinity = 0x7f80_0000;

const noRank = (): PithError => new PithError("E_DATA", "A score is NaN, so the entries cannot be ranked.");

export function cutMask(mask: Mask | undefined, scores: Scores, cut: Threshold): Mask {
  const result = mask?.slice() ?? new Uint8Array(scores.length).fill(1);
  if (scores instanceof Float32Array) cutFloats(result, scores, cut);
  else cutNumbers(result, scores, cut);
  return result;
}

/** Compares magnitudes as integers: without its sign, the bits of a float32 increase with its magnitude. */
function cutFloats(result: Mask, scores: Float32Array, { limit, ties }: Threshold): void {
  const bits = new Int32Array(scores.buffer, scores.byteOffset, scores.length);
  const [least = 0] = new Int32Array(Float32Array.of(limit).buffer);
  let left = ties;
  for (let index = 0; index < result.length; index++) {
    const size = (bits[index] ?? 0) & 0x7fff_ffff;
    // 1 where size ≥ least, without a branch, which could not be predicted: half of all go.
    const kept = (result[index] ?? 0) & ((least - 1 - size) >>> 31);
    result[index] = kept;
    if (size !== least || left === 0 || kept === 0) continue;
    result[index] = 0;
    left--;
  }
}

function cutNumbers(result: Mask, scores: Scores, { limit, ties }: Threshold): void {
  let left = ties;
  for (let index = 0; index < result.length; index++) {
    const size = Math.abs(scores[index] ?? 0);
    const kept = (result[index] ?? 0) & Number(size >= limit);
    result[index] = kept;
    if (size !== limit || left === 0 || kept === 0) continue;
    result[index] = 0;
    left--;
  }
}

/**
 * Of the entries that all parts keep together, the `count` of least |score| go, of equal ones the first: one cut for each part, with the
 * number of entries that it takes.
 * @throws PithError E_DATA if the score of an entry that is kept is NaN.
 */
export async function cutSmallest(
  parts: readonly RankedEntries[],
  count: number,
): Promise<readonly (Threshold & { readonly gone: number })[]> {
  if (count === 0) return parts.map(() => ({ limit: 0, ties: 0, gone: 0 }));
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const type = parts.some((part) => part.type === "float64") ? "float64" : "float32";
  const found = await (size < fewestCounted ? sorted(parts, count) : counted(parts, count, type));
  if (parts.length === 1) return [{ ...found, gone: count }];
  const { limit } = found;
  let { ties } = found;
  const cuts: (Threshold & { readonly gone: number })[] = [];
  for (const { mask, scores } of parts) {
    const { below, equal } = countAround(await mask(), await scores(), limit);
    const own = Math.min(ties, equal);
    cuts.push({ limit, ties: own, gone: below + own });
    ties -= own;
  }
  return cuts;
}

async function counted(
  parts: readonly RankedEntries[],
  count: number,
  type: "float32" | "float64",
): Promise<Threshold> {
  const search = new Search(count, type);
  for (;;) {
    for (const { mask, scores } of parts) search.look(await mask(), await scores());
    search.narrow();
    if (search.limit !== undefined) return { limit: search.limit, ties: search.ties };
  }
}

async function sorted(parts: readonly RankedEntries[], count: number): Promise<Threshold> {
  const magnitudes: number[] = [];
  for (const { mask, scores } of parts) {
    const [kept, numbers] = [await mask(), await scores()];
    for (const [index, number] of numbers.entries()) if (kept?.[index] !== 0) magnitudes.push(Math.abs(number));
  }
  return amongRising(Float64Array.from(magnitudes).sort(), count);
}

/** The mask without the `count` entries of least |score|, of equal ones the first. @throws PithError E_DATA if the score of an entry that is kept is NaN. */
export function cutLeast(mask: Mask, scores: Scores, count: number): Mask {
  if (count === 0) return mask.slice();
  if (scores.length < fewestCounted) {
    const sizes = scores.filter((_, at) => mask[at] === 1).map(Math.abs);
    return cutMask(mask, scores, amongRising(sizes.sort(), count));
  }
  const search = new Search(count, scores instanceof Float32Array ? "float32" : "float64");
  for (;;) {
    search.look(mask, scores);
    search.narrow();
    if (search.limit !== undefined) return cutMask(mask, scores, { limit: search.limit, ties: search.ties });
  }
}

function amongRising(rising: Scores, count: number): Threshold {
  if (Number.isNaN(rising.at(-1))) throw noRank();
  const limit = rising[count - 1] ?? Number.POSITIVE_INFINITY;
  let ties = count;
  for (const size of rising) if (size < limit) ties--;
  return { limit, ties };
}

function countAround(
  mask: Mask | undefined,
  scores: Scores,
  limit: number,
): { readonly below: number; readonly equal: number } {
  let [below, equal] = [0, 0];
  for (let index = 0; index < scores.length; index++) {
    if (mask?.[index] === 0) continue;
    const size = Math.abs(scores[index] ?? 0);
    if (size < limit) below++;
    else if (size === limit) equal++;
  }
  return { below, equal };
}
