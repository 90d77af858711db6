/**
 * Which entries stay: arrays in, masks out.
 *
 * A mask holds 1 for a kept entry and 0 for a pruned one, row-major as its tensor. Pruning again works on what is left and never brings
 * an entry back: new mask = old mask AND chosen. Exactly k entries go, also where scores are equal; of equal ones the first go.
 */
import { PithError } from "../errors.ts";
import { matrix } from "../math/matrix.ts";
import type { Mask } from "../math/smallest.ts";
import { singularValues } from "../math/svd.ts";
import { type AxisLayout, alongAxis } from "../tensor/dims.ts";

/** Order of a norm: any p, ±Infinity, "fro" (2), or "nuc", the sum of singular values of each slice of a three-dimensional tensor. */
export type Norm = number | "fro" | "nuc";

export function keptCount(mask: Mask): number {
  let count = 0;
  for (const kept of mask) count += kept;
  return count;
}

/** Entries stay that both masks keep. */
export function intersect(a: Mask, b: Mask): Mask {
  return a.map((kept, index) => kept & (b[index] ?? 0));
}

/** Channels with at least one kept entry: a channel counts as pruned only if all of it is. */
export function keptChannels(mask: Mask, channels: AxisLayout): readonly number[] {
  const { outer, count, inner } = channels;
  return Array.from({ length: count }, (_, channel) => channel).filter((channel) => {
    for (let block = 0; block < outer; block++) {
      const start = (block * count + channel) * inner;
      for (let index = start; index < start + inner; index++) if (mask[index] === 1) return true;
    }
    return false;
  });
}

export function pruneChannels(mask: Mask, channels: AxisLayout, pruned: Iterable<number>): Mask {
  const { outer, count, inner } = channels;
  const result = mask.slice();
  for (const channel of pruned) {
    for (let block = 0; block < outer; block++) {
      const start = (block * count + channel) * inner;
      result.fill(0, start, start + inner);
    }
  }
  return result;
}

/**
 * The norm of each channel over all its entries, in float64: (Σ |x|ⁿ)^(1/n); the largest or smallest |x| for ±Infinity, the number of
 * entries that are not 0 for n = 0.
 * @throws PithError E_SHAPE_MISMATCH for "nuc" where a channel is no matrix.
 */
export function channelNorms(values: ArrayLike<number>, dims: readonly number[], axis: number, n: Norm): Float64Array {
  const channels = alongAxis(dims, axis);
  if (n === "nuc") return nuclearNorms(values, dims, axis, channels);
  const order = n === "fro" ? 2 : n;
  const { outer, count, inner } = channels;
  const start = order === Number.NEGATIVE_INFINITY ? Number.POSITIVE_INFINITY : 0;
  return Float64Array.from({ length: count }, (_, channel) => {
    let sum = start;
    for (let block = 0; block < outer; block++) {
      const first = (block * count + channel) * inner;
      for (let index = first; index < first + inner; index++)
        sum = accumulate(sum, Math.abs(values[index] ?? 0), order);
    }
    return Number.isFinite(order) && order !== 0 ? sum ** (1 / order) : sum;
  });
}

function accumulate(sum: number, size: number, order: number): number {
  if (order === Number.POSITIVE_INFINITY) return Math.max(sum, size);
  if (order === Number.NEGATIVE_INFINITY) return Math.min(sum, size);
  if (order === 0) return size === 0 ? sum : sum + 1;
  return sum + (order === 1 ? size : order === 2 ? size * size : size ** order);
}

function nuclearNorms(
  values: ArrayLike<number>,
  dims: readonly number[],
  axis: number,
  channels: AxisLayout,
): Float64Array {
  if (dims.length !== 3) {
    throw new PithError(
      "E_SHAPE_MISMATCH",
      `The nuclear norm takes matrices: channels of a tensor with three axes, not ${dims.length}.`,
    );
  }
  const { outer, count, inner } = channels;
  const rest = dims.filter((_, other) => other !== axis);
  const [rows = 1, columns = 1] = rest;
  return Float64Array.from({ length: count }, (_, channel) => {
    const entries = Float64Array.from({ length: rows * columns }, (_, place) => {
      const block = Math.floor(place / inner);
      return values[(block * count + channel) * inner + (place % inner)] ?? 0;
    });
    return outer === 0 ? 0 : singularValues(matrix(rows, columns, entries)).reduce((sum, value) => sum + value, 0);
  });
}
