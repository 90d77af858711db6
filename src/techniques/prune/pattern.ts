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
import { isMethod } from "../../core/pass/custom-methods.ts";
import { modulePath } from "../../core/pass/modules.ts";
import { joinArrays } from "../../core/tensor/dense.ts";
import { roundHalfEven } from "../../core/tensor/round.ts";
import type { MatrixMask, Pattern } from "../calibrate/solver.ts";
import { keptCount } from "./mask.ts";

/** `prune` implements this pattern without matrices. */
export const entries = "entries";

/** Compares the entries within one layer, for a solver. */
export const wholeLayer: Pattern = {
  id: entries,
  columns: 1,
  choose: (scores, kept, amount) => {
    const sizes = scores.map(({ data }) => data);
    return chooseJointly(sizes, kept, amount);
  },
};

const rows: Pattern = {
  id: "rows",
  columns: 1,
  choose: (scores, kept, amount) =>
    scores.map(({ columns, data }, group) => {
      const stays = Uint8Array.from(kept[group] ?? []);
      for (let start = 0; start < stays.length; start += columns) {
        const row = stays.subarray(start, start + columns);
        row.set(withoutLeast(row, data.subarray(start, start + columns), amount));
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
  for (let remaining = keptCount(stays.subarray(start, end)); remaining > n; remaining--) {
    let [least, smallest] = [Number.POSITIVE_INFINITY, -1];
    for (let index = start; index < end; index++) {
      const size = Math.abs(sizes[index] ?? 0);
      if (stays[index] === 0 || (smallest >= 0 && size >= least)) continue;
      [least, smallest] = [size, index];
    }
    stays[smallest] = 0;
  }
}

/** Edge blocks are smaller; a block counts while it has an entry left. */
const blocks = (high: number, wide: number): Pattern => ({
  id: `${high}x${wide}`,
  columns: wide,
  choose(scores, kept, amount) {
    const tiles = scores.map(({ columns, data }, group) => {
      const across = Math.ceil(columns / wide);
      const tileOf = (index: number): number =>
        Math.floor(Math.floor(index / columns) / high) * across + Math.floor((index % columns) / wide);
      const sums = new Float64Array(data.length === 0 ? 0 : tileOf(data.length - 1) + 1);
      const present = new Uint8Array(sums.length);
      kept[group]?.forEach((stays, index) => {
        if (stays === 0) return;
        sums[tileOf(index)] = (sums[tileOf(index)] ?? 0) + (data[index] ?? 0) ** 2;
        present[tileOf(index)] = 1;
      });
      return { tileOf, sums, present };
    });
    const stays = chooseJointly(
      tiles.map(({ sums }) => sums),
      tiles.map(({ present }) => present),
      amount,
    );
    return kept.map((mask, group) =>
      mask.map((entry, index) => entry & (stays[group]?.[tiles[group]?.tileOf(index) ?? 0] ?? 0)),
    );
  },
});

/** Keeps the largest entries of all groups, ranked together. */
function chooseJointly(sizes: readonly Float64Array[], kept: readonly MatrixMask[], amount: number) {
  const all = withoutLeast(joinArrays(Uint8Array, kept), joinArrays(Float64Array, sizes), amount);
  let start = 0;
  return kept.map(({ length }): MatrixMask => {
    start += length;
    return all.subarray(start - length, start);
  });
}

const withoutLeast = (mask: MatrixMask, sizes: Float64Array, share: number): MatrixMask =>
  cutLeast(mask, sizes, roundHalfEven(share * keptCount(mask)));

const accepted =
  'is "entries", "rows", n:m such as "2:4" (2 of 4 consecutive weights are kept), blocks such as "4x1", a pattern { id, choose }, or the path of a module that exports one';

const isPattern = (value: unknown): value is Pattern => isMethod(value, "choose");

/** A word, a pattern, or the path of a module that exports one. */
export const patternSchema = v.union(
  [
    v.pipe(
      v.string(),
      v.check((word) => word === entries || patternOf(word) !== undefined, accepted),
    ),
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

/** @returns undefined for `entries` and unknown words, such as module paths. */
export function patternOf(pattern: string | Pattern = entries): Pattern | undefined {
  if (typeof pattern !== "string") return pattern;
  if (pattern === rows.id) return rows;
  const [, first, kind, second] = /^([1-9]\d*)([:x])([1-9]\d*)$/.exec(pattern) ?? [];
  const [a, b] = [Number(first), Number(second)];
  if (kind === "x") return blocks(a, b);
  // n:m must remove something.
  return kind === ":" && a < b ? nOfM(a, b) : undefined;
}
