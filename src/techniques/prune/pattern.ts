/**
 * Patterns for pruning individual weights: which entries of the score matrices [outputs, inputs] are compared, and which are pruned jointly.
 *
 *     entries   the smallest of the layer                            w: 1 5 2 8   2:4: 0 5 0 8
 *     rows      the same share of each output (Wanda)
 *     n:m       the n largest of m consecutive inputs stay (Zhou et al. 2021, "Learning N:M Fine-grained Structured Sparse Neural Networks")
 */
import * as v from "valibot";
import { joinArrays, roundHalfEven } from "#ir";
import { modulePath } from "#pass";
import type { MatrixMask, Pattern } from "../calibrate/solver.ts";
import { isMethod } from "../shared/methods.ts";
import { keptCount } from "./mask.ts";
import { pruneLowest } from "./smallest-entries.ts";

/** `prune` implements this pattern without matrices. */
export const entriesId = "entries";

/** The pattern `entries` in the form that solvers need: compares all entries of a layer. */
export const entriesPattern: Pattern = {
  id: entriesId,
  columns: 1,
  choose(scores, kept, amount) {
    const sizes = scores.map(({ data }) => data);
    const all = pruneSmallest(joinArrays(Uint8Array, kept), joinArrays(Float64Array, sizes), amount);
    let start = 0;
    return kept.map(({ length }): MatrixMask => {
      start += length;
      return all.subarray(start - length, start);
    });
  },
};

const rows: Pattern = {
  id: "rows",
  columns: 1,
  choose: (scores, kept, amount) =>
    scores.map(({ columns, data }, group) => {
      const keptEntries = Uint8Array.from(kept[group] ?? []);
      for (let start = 0; start < keptEntries.length; start += columns) {
        const row = keptEntries.subarray(start, start + columns);
        row.set(pruneSmallest(row, data.subarray(start, start + columns), amount));
      }
      return keptEntries;
    }),
};

/** If the inputs are not a multiple of m, the last group is smaller. */
const nOfM = (n: number, m: number): Pattern => ({
  id: `${n}:${m}`,
  share: 1 - n / m,
  columns: m,
  choose: (scores, kept) =>
    scores.map(({ columns, data }, group) => {
      const keptEntries = Uint8Array.from(kept[group] ?? []);
      for (let row = 0; row < keptEntries.length; row += columns)
        for (let start = row; start < row + columns; start += m)
          keepLargest(n, keptEntries, data, start, Math.min(start + m, row + columns));
      return keptEntries;
    }),
});

/** Keeps the n largest remaining entries of a range; removes one at a time, because there are few. */
function keepLargest(n: number, keptEntries: MatrixMask, sizes: Float64Array, start: number, end: number): void {
  for (let remaining = keptCount(keptEntries.subarray(start, end)); remaining > n; remaining--) {
    let [minSize, minIndex] = [Number.POSITIVE_INFINITY, -1];
    for (let index = start; index < end; index++) {
      const size = Math.abs(sizes[index] ?? 0);
      if (keptEntries[index] === 0 || (minIndex >= 0 && size >= minSize)) continue;
      [minSize, minIndex] = [size, index];
    }
    keptEntries[minIndex] = 0;
  }
}

const pruneSmallest = (mask: MatrixMask, sizes: Float64Array, share: number): MatrixMask =>
  pruneLowest(mask, sizes, roundHalfEven(share * keptCount(mask)));

const acceptedText =
  'is "entries", "rows", n:m such as "2:4" (2 of 4 consecutive weights are kept), a pattern { id, choose }, or the path of a module that exports one';

const isPattern = (value: unknown): value is Pattern => isMethod(value, "choose");

export const patternSchema = v.union(
  [
    v.pipe(
      v.string(),
      v.check((word) => word === entriesId || patternOf(word) !== undefined, acceptedText),
    ),
    v.pipe(
      v.custom<Pattern>(isPattern),
      v.check(
        ({ share = 0 }) => typeof share === "number" && share >= 0 && share <= 1,
        "has a `share` that is not a number from 0 to 1",
      ),
    ),
    modulePath(acceptedText),
  ],
  acceptedText,
);

/** Returns the pattern of a name; undefined for `entries` and unknown names, such as module paths. */
export function patternOf(pattern: string | Pattern = entriesId): Pattern | undefined {
  if (typeof pattern !== "string") return pattern;
  if (pattern === rows.id) return rows;
  const [, first, second] = /^([1-9]\d*):([1-9]\d*)$/.exec(pattern) ?? [];
  const [n, m] = [Number(first), Number(second)];
  // n:m must remove something.
  return n < m ? nOfM(n, m) : undefined;
}
