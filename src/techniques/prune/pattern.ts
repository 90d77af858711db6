/**
 * Selects which entries are pruned together and compared, by score matrices (outputs × inputs).
 *
 *     entries   the smallest of the layer                            w: 1 5 2 8   2:4: 0 5 0 8
 *     rows      the same share of each output (Wanda)
 *     n:m       the n largest of m consecutive inputs stay (Zhou et al. 2021, "Learning N:M Fine-grained Structured Sparse Neural Networks")
 *     r×c       blocks of r outputs and c inputs, by the sum of their squares
 */
import * as v from "valibot";
import { cutLeast } from "../../core/math/smallest.ts";
import { modulePath } from "../../core/pass/modules.ts";
import { isMethod } from "../../core/pass/own-methods.ts";
import { joined } from "../../core/tensor/dense.ts";
import { roundHalfEven } from "../../core/tensor/round.ts";
import type { MatrixMask, Pattern } from "../calibrate/solver.ts";
import { keptCount } from "./mask.ts";

/** `prune` implements this pattern without matrices. */
export const entries = "entries";

/** The same within one layer, for a solver. */
export const wholeLayer: Pattern = {
  id: entries,
  columns: 1,
  choose: (scores, kept, amount) =>
    splitLike(
      kept,
      withoutLeast(
        joined(Uint8Array, kept),
        joined(
          Float64Array,
          scores.map(({ data }) => data),
        ),
        amount,
      ),
    ),
};

const rows: Pattern = {
  id: "rows",
  columns: 1,
  choose: (scores, kept, amount) =>
    scores.map(({ columns, data }, group) => {
      const stays = Uint8Array.from(kept[group] ?? []);
      for (let start = 0; start < stays.length; start += columns) {
        const own = stays.subarray(start, start + columns);
        own.set(withoutLeast(own, data.subarray(start, start + columns), amount));
      }
      return stays;
    }),
};

/** If the inputs are not a multiple of m, the last group is smaller. */
const nOfM = (n: number, m: number): Pattern => ({
  id: `${n}:${m}`,
  share: 1 - n / m,
  columns: m,
  choose: (scores, kept) =>
    scores.map(({ columns, data }, group) => {
      const stays = Uint8Array.from(kept[group] ?? []);
      for (let row = 0; row < stays.length; row += columns)
        for (let start = row; start < row + columns; start += m)
          keepLargest(n, stays, data, start, Math.min(start + m, row + columns));
      return stays;
    }),
});

/** Keeps the n largest remaining entries of a range; removes one at a time, because there are few. */
function keepLargest(n: number, stays: MatrixMask, sizes: Float64Array, start: number, end: number): void {
  let left = 0;
  for (let at = start; at < end; at++) left += stays[at] ?? 0;
  for (; left > n; left--) {
    let [least, place] = [Number.POSITIVE_INFINITY, -1];
    for (let at = start; at < end; at++) {
      if (stays[at] === 0) continue;
      const size = Math.abs(sizes[at] ?? 0);
      if (place >= 0 && size >= least) continue;
      least = size;
      place = at;
    }
    stays[place] = 0;
  }
}

/** Edge blocks are smaller; a block counts while it has an entry left. */
const blocks = (high: number, wide: number): Pattern => ({
  id: `${high}x${wide}`,
  columns: wide,
  choose(scores, kept, amount) {
    const tiles = scores.map(({ columns, data }, group) => {
      const across = Math.ceil(columns / wide);
      const tileOf = (at: number): number =>
        Math.floor(Math.floor(at / columns) / high) * across + Math.floor((at % columns) / wide);
      const sums = new Float64Array(data.length === 0 ? 0 : tileOf(data.length - 1) + 1);
      const left = new Uint8Array(sums.length);
      kept[group]?.forEach((stays, at) => {
        if (stays === 0) return;
        sums[tileOf(at)] = (sums[tileOf(at)] ?? 0) + (data[at] ?? 0) ** 2;
        left[tileOf(at)] = 1;
      });
      return { tileOf, sums, left };
    });
    const left = tiles.map((group) => group.left);
    const sums = joined(
      Float64Array,
      tiles.map((group) => group.sums),
    );
    const stays = splitLike(left, withoutLeast(joined(Uint8Array, left), sums, amount));
    return kept.map((mask, group) => mask.map((own, at) => own & (stays[group]?.[tiles[group]?.tileOf(at) ?? 0] ?? 0)));
  },
});

function splitLike(parts: readonly { readonly length: number }[], all: MatrixMask): readonly MatrixMask[] {
  let start = 0;
  return parts.map(({ length }) => {
    const part = all.subarray(start, start + length);
    start += length;
    return part;
  });
}

const withoutLeast = (left: MatrixMask, sizes: Float64Array, share: number): MatrixMask =>
  cutLeast(left, sizes, roundHalfEven(share * keptCount(left)));

const accepted =
  'is "entries", "rows", n:m such as "2:4" (2 of 4 consecutive weights are kept), blocks such as "4x1", a pattern { id, choose }, or the path of a module that exports one';

const isPattern = (value: unknown): value is Pattern => isMethod(value, "choose");

/** A word, a pattern, or the path of a module that exports one. */
export const patternSchema = v.union(
  [
    v.pipe(v.string(), v.check(isWord, accepted)),
    v.pipe(
      v.custom<Pattern>(isPattern),
      v.check(
        ({ share = 0 }) => typeof share === "number" && share >= 0 && share <= 1,
        "has a `share` that is not a number from 0 to 1",
      ),
    ),
    modulePath(accepted),
  ],
  accepted,
);

function isWord(given: string): boolean {
  return given === entries || patternOf(given) !== undefined;
}

/** @returns undefined for `entries` and unknown words, such as module paths. */
export function patternOf(given: string | Pattern = entries): Pattern | undefined {
  if (typeof given !== "string") return given;
  if (given === rows.id) return rows;
  const [, first, kind, second] = /^([1-9]\d*)([:x])([1-9]\d*)$/.exec(given) ?? [];
  const [a, b] = [Number(first), Number(second)];
  if (kind === "x") return blocks(a, b);
  // n:m must remove something.
  return kind === ":" && a < b ? nOfM(a, b) : undefined;
}
