/** The least of many numbers, without sorting them: two looks at float32, four at float64, and memory for a table of counts. */
import { PithError } from "../errors.ts";
import type { Mask } from "./mask.ts";

/** What ranks entries by magnitude: weights, or scores that are given. */
export type Scores = Float32Array | Float64Array;

/** Which entries go: those of magnitude below `limit`, and of those equal to it the first `ties`. */
export interface Cut {
  readonly limit: number;
  readonly ties: number;
}

/** Entries that are ranked with others; read again for each look. */
export interface Ranked {
  readonly size: number;
  readonly type: "float32" | "float64";
  /** Undefined where all entries are kept. */
  mask(): Promise<Mask | undefined>;
  scores(): Promise<Scores>;
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
    const numbers = scores.BYTES_PER_ELEMENT === this.#bits.BYTES_PER_ELEMENT ? scores : Float64Array.from(scores);
    const width = this.#digits.length;
    const digits = new Uint16Array(numbers.buffer, numbers.byteOffset, width * numbers.length);
    if (mask === undefined && width === 2) {
      this.#lookAtAll(digits);
      return;
    }
    const [own, counts, at, top] = [this.#digits, this.#counts, this.#digit, width - 1];
    for (let index = 0, start = 0; index < numbers.length; index++, start += width) {
      if (mask?.[index] === 0) continue;
      if (at === top) {
        if (Number.isNaN(numbers[index])) throw noRank();
        const digit = (digits[start + at] ?? 0) & 0x7fff;
        counts[digit] = (counts[digit] ?? 0) + 1;
        continue;
      }
      if (((digits[start + top] ?? 0) & 0x7fff) !== own[top]) continue;
      let above = top - 1;
      while (above > at && digits[start + above] === own[above]) above--;
      if (above !== at) continue;
      const digit = digits[start + at] ?? 0;
      counts[digit] = (counts[digit] ?? 0) + 1;
    }
  }

  /** The same for float32 without a mask, which weights are at first: nothing but two digits of each. */
  #lookAtAll(digits: Uint16Array): void {
    const counts = this.#counts;
    const [, own] = this.#digits;
    if (this.#digit === 0) {
      for (let at = 0; at < digits.length; at += 2) {
        if (((digits[at + 1] ?? 0) & 0x7fff) !== own) continue;
        const digit = digits[at] ?? 0;
        counts[digit] = (counts[digit] ?? 0) + 1;
      }
      return;
    }
    for (let at = 0; at < digits.length; at += 2) {
      const top = (digits[at + 1] ?? 0) & 0x7fff;
      // Of an infinite number all other bits are 0.
      if (top > infinity || (top === infinity && digits[at] !== 0)) throw noRank();
      counts[top] = (counts[top] ?? 0) + 1;
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

/** The upper digit of an infinite float32, without its sign. */
const infinity = 0x7f80;

const noRank = (): PithError => new PithError("E_DATA", "A score is NaN, so the entries cannot be ranked.");

/** The mask without the entries that go. */
export function cutMask(mask: Mask | undefined, scores: Scores, cut: Cut): Mask {
  const result = mask?.slice() ?? new Uint8Array(scores.length).fill(1);
  const { limit } = cut;
  let { ties } = cut;
  for (let index = 0; index < result.length; index++) {
    const size = Math.abs(scores[index] ?? 0);
    if (size > limit || result[index] === 0) continue;
    if (size < limit || ties-- > 0) result[index] = 0;
  }
  return result;
}

/**
 * Of the entries that all parts keep together, the `count` of least |score| go, of equal ones the first: one cut for each part, with the
 * number of entries that it takes.
 * @throws PithError E_DATA if the score of an entry that is kept is NaN.
 */
export async function cutSmallest(
  parts: readonly Ranked[],
  count: number,
): Promise<readonly (Cut & { readonly gone: number })[]> {
  if (count === 0) return parts.map(() => ({ limit: 0, ties: 0, gone: 0 }));
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const type = parts.some((part) => part.type === "float64") ? "float64" : "float32";
  const found = await (size < fewestCounted ? sorted(parts, count) : counted(parts, count, type));
  if (parts.length === 1) return [{ ...found, gone: count }];
  const { limit } = found;
  let { ties } = found;
  const cuts: (Cut & { readonly gone: number })[] = [];
  for (const { mask, scores } of parts) {
    const { below, equal } = countAround(await mask(), await scores(), limit);
    const own = Math.min(ties, equal);
    cuts.push({ limit, ties: own, gone: below + own });
    ties -= own;
  }
  return cuts;
}

async function counted(parts: readonly Ranked[], count: number, type: "float32" | "float64"): Promise<Cut> {
  const search = new Search(count, type);
  for (;;) {
    for (const { mask, scores } of parts) search.look(await mask(), await scores());
    search.narrow();
    if (search.limit !== undefined) return { limit: search.limit, ties: search.ties };
  }
}

async function sorted(parts: readonly Ranked[], count: number): Promise<Cut> {
  const magnitudes: number[] = [];
  for (const { mask, scores } of parts) {
    const [kept, numbers] = [await mask(), await scores()];
    for (const [index, number] of numbers.entries()) if (kept?.[index] !== 0) magnitudes.push(Math.abs(number));
  }
  const rising = Float64Array.from(magnitudes).sort();
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
