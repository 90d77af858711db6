/**
 * Which entries of a weight may go together, and what they are compared with: a pattern is given the scores of a layer as matrices, outputs × inputs as
 * the layer reads them, and says what stays.
 *
 *     entries   the least of the layer                               w: 1 5 2 8   2:4: 0 5 0 8
 *     rows      the same share of each output (Wanda)
 *     n:m       of m inputs in a row the n largest stay (Zhou et al. 2021, "Learning N:M Fine-grained Structured Sparse Neural Networks")
 *     r×c       blocks of r outputs and c inputs, by the sum of their squares
 */
import * as v from "valibot";
import type { Matrix } from "../math/matrix.ts";
import { modulePath } from "../passes/modules.ts";
import { isMethod } from "../passes/own-methods.ts";
import { roundHalfEven } from "../tensor/round.ts";

/** 1 for each entry that stays, row-major as the matrix that it belongs to. */
export type MatrixMask = Uint8Array;

/**
 * A pattern of pruning.
 * @example
 * import type { Pattern } from "pith/prune";
 * const firstInput: Pattern = {
 *   id: "first input",
 *   share: 0.5,
 *   choose: (scores, kept) =>
 *     kept.map((mask, group) => mask.map((stays, at) => (at % (scores[group]?.columns ?? 1) === 0 ? 0 : stays))),
 * };
 * await prune(net, { pattern: firstInput });
 */
export interface Pattern {
  readonly id: string;
  /** The share of entries that goes, where the pattern itself says it: then no amount is given. */
  readonly share?: number;
  /**
   * What stays of a layer.
   * @param scores one matrix for each group of the layer: entries of least magnitude go. @param kept what is left, of the same sizes.
   * @param amount share of what is left that goes.
   * @returns what stays of what is left.
   */
  choose(scores: readonly Matrix[], kept: readonly MatrixMask[], amount: number): readonly MatrixMask[];
}

/** The least entries of a layer, or of all together: `prune` chooses them without matrices. */
export const entries = "entries";

/** The same of one layer, for a solver. */
export const wholeLayer: Pattern = {
  id: entries,
  choose(scores, kept, amount) {
    const sizes = scores.flatMap(({ data }) => Array.from(data, Math.abs));
    const left = kept.flatMap((mask) => [...mask]);
    const stays = withoutLeast(sizes, left, share(amount, left));
    return splitLike(kept, stays);
  },
};

const rows: Pattern = {
  id: "rows",
  choose: (scores, kept, amount) =>
    byRow(scores, kept, (sizes, left) => withoutLeast(sizes, left, share(amount, left))),
};

/** Where the inputs are no multiple of m, the last ones are a group of fewer. */
const nOfM = (n: number, m: number): Pattern => ({
  id: `${n}:${m}`,
  share: 1 - n / m,
  choose: (scores, kept) =>
    byRow(scores, kept, (sizes, left) => {
      const stays = new Uint8Array(left.length);
      for (let start = 0; start < left.length; start += m) {
        const group = left.subarray(start, start + m);
        stays.set(withoutLeast(sizes.subarray(start, start + m), group, count(group) - n), start);
      }
      return stays;
    }),
});

/** Blocks at the lower and right edges are smaller where the sizes are no multiples; a block counts while an entry of it is left. */
const blocks = (high: number, wide: number): Pattern => ({
  id: `${high}x${wide}`,
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
    const left = tiles.flatMap((group) => [...group.left]);
    const sums = tiles.flatMap((group) => [...group.sums]);
    const stays = splitLike(
      tiles.map((group) => group.sums),
      withoutLeast(sums, left, share(amount, left)),
    );
    return kept.map((mask, group) => mask.map((own, at) => own & (stays[group]?.[tiles[group]?.tileOf(at) ?? 0] ?? 0)));
  },
});

function byRow(
  scores: readonly Matrix[],
  kept: readonly MatrixMask[],
  choose: (sizes: Float64Array, left: Uint8Array) => Uint8Array,
): readonly MatrixMask[] {
  return scores.map(({ columns, data }, group) => {
    const left = kept[group] ?? new Uint8Array();
    const stays = new Uint8Array(left.length);
    for (let start = 0; start < left.length; start += columns)
      stays.set(
        choose(data.subarray(start, start + columns).map(Math.abs), left.subarray(start, start + columns)),
        start,
      );
    return stays;
  });
}

/** One after the other, as many of each as these have. */
function splitLike(parts: readonly { readonly length: number }[], all: Uint8Array): readonly Uint8Array[] {
  let start = 0;
  return parts.map(({ length }) => {
    const part = all.subarray(start, start + length);
    start += length;
    return part;
  });
}

const count = (left: ArrayLike<number>): number => Array.from(left).reduce((sum, stays) => sum + stays, 0);

const share = (amount: number, left: ArrayLike<number>): number => roundHalfEven(amount * count(left));

/** Of what is left without the `gone` least, of equal ones the first. */
function withoutLeast(sizes: ArrayLike<number>, left: ArrayLike<number>, gone: number): Uint8Array {
  const stays = Uint8Array.from(left);
  if (gone <= 0) return stays;
  const places = Array.from(left, (_, at) => at).filter((at) => left[at] === 1);
  places.sort((a, b) => (sizes[a] ?? 0) - (sizes[b] ?? 0));
  for (const at of places.slice(0, gone)) stays[at] = 0;
  return stays;
}

const isPattern = (value: unknown): value is Pattern => isMethod(value, "choose");

const accepted =
  'is "entries", "rows", n:m such as "2:4", blocks such as "4x1", a pattern { id, choose }, or the path of a module that exports one';

/** A word, a pattern, or the path of a module that exports one. */
export const patternSchema = v.union(
  [v.pipe(v.string(), v.check(isWord, accepted)), v.custom<Pattern>(isPattern), modulePath(accepted)],
  accepted,
);

function isWord(given: string): boolean {
  return given === entries || patternOf(given) !== undefined;
}

/** @returns undefined for `entries`, and for a word that is none, such as the path of a module. */
export function patternOf(given: string | Pattern): Pattern | undefined {
  if (typeof given !== "string") return given;
  if (given === rows.id) return rows;
  const [, first, kind, second] = /^([1-9]\d*)([:x])([1-9]\d*)$/.exec(given) ?? [];
  const [a, b] = [Number(first), Number(second)];
  if (kind === "x") return blocks(a, b);
  // Of n:m something goes.
  return kind === ":" && a < b ? nOfM(a, b) : undefined;
}
